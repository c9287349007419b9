"""The review index's tables. All of it follows from the learning log: a new version of this file makes it anew."""

from __future__ import annotations

#: counts the versions: an index of another one is made again from the log.
VERSION = 7

SCHEMA = """
create table state (name text primary key, value) without rowid;

-- One row a conversation; `key` is the log's name for it (a decision of no conversation has one to itself). What is
-- derived from its decisions, outcomes and annotations is written by `agent.review.summary`. `lot` is drawn from
-- the key: by it a few are picked at random.
create table conversations (
    id integer primary key,
    key text not null unique,
    day integer not null default 0,
    started real not null default 0,
    last real not null default 0,
    channel text,
    language text,
    opening text not null default '',
    turns integer not null default 0,
    decisions integer not null default 0,
    outcomes integer not null default 0,
    reward real,
    worst real,
    uncertainty real,
    priority real not null default 0,
    lot integer not null,
    handed_over integer not null default 0,
    disagreeing integer not null default 0,
    resolved text,
    flagged integer not null default 0,
    verdict text,
    assigned text
);
create index conversations_started on conversations (started);
create index conversations_day on conversations (day);
create index conversations_reward on conversations (worst, id) where worst is not null;
create index conversations_uncertainty on conversations (uncertainty, id);
create index conversations_turns on conversations (turns, id);
create index conversations_lot on conversations (lot) where verdict is null;
create index conversations_second on conversations (lot) where verdict is not null;
create index conversations_disagreeing on conversations (id) where disagreeing;
create index conversations_handed_over on conversations (id) where handed_over;
create index conversations_assigned on conversations (assigned, id) where assigned is not null;
create index conversations_priority on conversations (priority, id);
create index conversations_length on conversations (last - started);

create table decisions (
    seq integer primary key,
    id text not null unique,
    conversation integer not null,
    turn text,
    day integer not null,
    at real not null,
    loop text not null,
    channel text,
    language text,
    intent text,
    text text not null,
    chosen text not null,
    version integer not null,
    model_version text not null,
    propensity real not null,
    expected real not null,
    deviation real not null,
    explored integer not null,
    live integer not null,
    abstained integer not null,
    activated integer not null default 0,
    reward real,
    weight real
);
create index decisions_conversation on decisions (conversation);
create index decisions_turn on decisions (turn) where turn is not null;
create index decisions_chosen on decisions (loop, chosen, seq);
create index decisions_day on decisions (day);
create index decisions_abstained on decisions (at) where abstained and live;

create table outcomes (
    seq integer primary key,
    id text not null unique,
    conversation integer not null,
    turn text,
    decision text,
    day integer not null,
    at real not null,
    signal text not null,
    value real not null,
    scaled real not null,
    explicit integer not null,
    source text not null,
    comment text,
    standing integer not null default 1,
    corrected integer not null default 0
);
create index outcomes_conversation on outcomes (conversation);
create index outcomes_day on outcomes (day);
create index outcomes_signal on outcomes (signal, at);

create table messages (
    seq integer primary key,
    conversation integer not null,
    turn text,
    who text not null,
    part integer not null,
    at real not null,
    text text not null,
    action text,
    intent text,
    channel text
);
create index messages_conversation on messages (conversation);
create index messages_turn on messages (turn) where who = 'user';
create index messages_action on messages (action, at) where action is not null;
create index messages_intent on messages (intent, at) where intent is not null;
create virtual table words using fts5 (
    text, content = 'messages', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2'
);

create table annotations (
    seq integer primary key,
    id text not null unique,
    conversation integer not null,
    turn text,
    at real not null,
    what text not null,
    value text not null,
    who text not null,
    standing integer not null default 1
);
create index annotations_conversation on annotations (conversation);
create index annotations_what on annotations (what, at);

-- Questions that fell through and were seen to: by the turn they opened, or else the decision on them.
create table settled (
    event text not null, question text not null, standing integer not null default 1, primary key (event, question)
) without rowid;
create index settled_question on settled (question);

-- Everything that a person did: what the trail shows.
create table actions (
    seq integer primary key,
    id text not null,
    at real not null,
    who text not null,
    kind text not null,
    loop text,
    conversation integer,
    about text not null,
    why text not null
);
create index actions_at on actions (at, seq);
create index actions_who on actions (who, at, seq);
create index actions_kind on actions (kind, at, seq);
create index actions_conversation on actions (conversation) where conversation is not null;

-- What a conversation is found by, such as (`reply`, `utter_refund`): each filter is a stretch of one index.
create table facets (id integer primary key, kind text not null, value text not null, unique (kind, value));
create table faceted (
    facet integer not null, conversation integer not null, primary key (facet, conversation)
) without rowid;
create index faceted_conversation on faceted (conversation);

-- Sums by day, from which means and their intervals follow: see `agent.review.sums`. Rows of `chosen = ''` are of all
-- candidates together: a conversation is one cluster there, however many of them it was given.
create table days (
    day integer not null, loop text not null, channel text not null, language text not null,
    model_version text not null, chosen text not null,
    decisions integer not null, live integer not null, explored integer not null, abstained integer not null,
    activated integer not null, clusters integer not null, fed integer not null, weight real not null,
    total real not null, square real not null, cross real not null, weights real not null, expected real not null,
    primary key (day, loop, channel, language, model_version, chosen)
) without rowid;
create index days_chosen on days (loop, chosen, day);
create index days_together on days (day) where chosen = '';
-- The same of each candidate, of all decisions together (`*` three times) and of one channel, language or model version
-- together: whoever asks for more than one of these asks `days`.
create table chosen_days (
    day integer not null, loop text not null, channel text not null, language text not null,
    model_version text not null, chosen text not null, live integer not null, activated integer not null,
    clusters integer not null, fed integer not null, weight real not null, total real not null, square real not null,
    cross real not null, weights real not null,
    primary key (channel, language, model_version, day, loop, chosen)
) without rowid;
create index chosen_days_day on chosen_days (day);
-- The sums of what each version of a candidate's words earned, and on which topics. Rows of `chosen = ''` add up those
-- of all candidates: a conversation is a cluster for each that it was given.
create table reply_days (
    day integer not null, loop text not null, chosen text not null, version integer not null, intent text not null,
    live integer not null, activated integer not null, clusters integer not null, fed integer not null,
    weight real not null, total real not null, square real not null, cross real not null, weights real not null,
    primary key (loop, chosen, day, version, intent)
) without rowid;
create index reply_days_day on reply_days (day, loop);
-- In the tables below, rows of `loop = ''` are of all loops together, and of `model_version = ''` of all versions: a
-- conversation may know several, and is counted once in each. Rows of `signal = ''` are of all explicit signals.
create table signal_days (
    day integer not null, channel text not null, language text not null, loop text not null,
    model_version text not null, signal text not null,
    clusters integer not null, fed integer not null, weight real not null, total real not null, square real not null,
    cross real not null, weights real not null,
    primary key (loop, model_version, day, channel, language, signal)
) without rowid;
create index signal_days_day on signal_days (day);
-- What was asked: in how many turns, and what was explicitly said of those (or of the whole conversation). Rows of
-- `channel = '*'` and `language = '*'` are of all together.
create table intent_days (
    day integer not null, channel text not null, language text not null, loop text not null,
    model_version text not null, intent text not null, asked integer not null,
    clusters integer not null, fed integer not null, weight real not null, total real not null, square real not null,
    cross real not null, weights real not null,
    primary key (loop, model_version, channel, language, day, intent)
) without rowid;
create index intent_days_day on intent_days (day);
-- Conversations that began on a day; `spoke`: in which the customer said how it was.
create table conversation_days (
    day integer not null, channel text not null, language text not null, loop text not null,
    model_version text not null,
    conversations integer not null, turns integer not null, spoke integer not null, handovers integer not null,
    assumed integer not null, confirmed integer not null,
    primary key (loop, model_version, day, channel, language)
) without rowid;
create index conversation_days_day on conversation_days (day);
-- How many events of each kind were folded, and when the last of them was.
create table kinds (kind text primary key, events integer not null, last real not null) without rowid;
create table stale_days (day integer primary key);
"""
