"""Days: how the sums of a day follow from its outcomes, decisions and conversations, in SQL."""

from __future__ import annotations

# The outcomes of a day that stand, and what they are about: each with the loops, versions and intents of the decisions
# at its address that came before it.
_HEARD = """
    heard as (
        select seq, conversation, decision, turn, signal, scaled, explicit from outcomes where day = :day and standing
    ),
    about as materialized (
        select h.seq, d.loop, d.model_version, d.intent from heard h join decisions d on d.id = h.decision
        union
        select h.seq, d.loop, d.model_version, d.intent from heard h join decisions d on d.turn = h.turn
        where h.decision is null and d.seq < h.seq
        union
        select h.seq, d.loop, d.model_version, d.intent
        from heard h cross join decisions d on d.conversation = h.conversation
        where h.decision is null and h.turn is null and d.seq < h.seq
    )"""
_SIGNALS = f"""
    insert into signal_days
    with {_HEARD},
    told (seq, loop, model_version) as (
        select seq, '', '' from heard union select seq, loop, model_version from about
        union select seq, loop, '' from about union select seq, '', model_version from about
    ),
    parts as (
        select conversation, loop, model_version, signal, count(*) as n, sum(scaled) as s
        from told join heard using (seq) group by conversation, loop, model_version, signal
        union all
        select conversation, loop, model_version, '', count(*), sum(scaled)
        from told join heard using (seq) where explicit group by conversation, loop, model_version
    )
    select :day, coalesce(c.channel, ''), coalesce(c.language, ''), loop, model_version, signal,
        count(*), sum(n), sum(n), sum(s), sum(s * s), sum(s * n), sum(n * n)
    from parts join conversations c on c.id = conversation group by 2, 3, 4, 5, 6
"""
_INTENTS = f"""
    insert into intent_days
    with {_HEARD},
    asked as (
        select conversation, loop, model_version, intent, coalesce(turn, id) as turn from decisions
        where day = :day and intent is not null
    ),
    told (seq, loop, model_version, intent) as (
        select seq, loop, model_version, intent from about union select seq, loop, '', intent from about
        union select seq, '', model_version, intent from about union select seq, '', '', intent from about
    ),
    parts (conversation, loop, model_version, intent, asked, clusters, n, s) as (
        select conversation, loop, model_version, intent, count(distinct turn), 0, 0, 0.0
        from asked group by 1, 2, 3, 4
        union all
        select conversation, loop, '', intent, count(distinct turn), 0, 0, 0.0 from asked group by 1, 2, 4
        union all
        select conversation, '', model_version, intent, count(distinct turn), 0, 0, 0.0 from asked group by 1, 3, 4
        union all
        select conversation, '', '', intent, count(distinct turn), 0, 0, 0.0 from asked group by 1, 4
        union all
        select conversation, loop, model_version, intent, 0, 1, count(*), sum(scaled)
        from told join heard using (seq) where explicit and intent is not null
        group by conversation, loop, model_version, intent
    ),
    added as (
        select coalesce(c.channel, '') as channel, coalesce(c.language, '') as language, loop, model_version, intent,
            sum(asked) as asked, sum(clusters) as clusters, sum(n) as n, sum(s) as s, sum(s * s) as ss,
            sum(s * n) as sn, sum(n * n) as nn
        from parts join conversations c on c.id = conversation group by 1, 2, 3, 4, 5
    )
    select :day, channel, language, loop, model_version, intent, asked, clusters, n, n, s, ss, sn, nn from added
    union all
    select :day, '*', '*', loop, model_version, intent, sum(asked), sum(clusters), sum(n), sum(n), sum(s), sum(ss),
        sum(sn), sum(nn)
    from added group by loop, model_version, intent
"""
_CONVERSATIONS = """
    insert into conversation_days
    with began as (
        select id, channel, language, turns, handed_over, resolved,
            exists (select 1 from outcomes o where o.conversation = c.id and standing and explicit) as spoke
        from conversations c where day = :day
    ),
    known as materialized (
        select distinct d.conversation as id, d.loop, d.model_version
        from began b cross join decisions d on d.conversation = b.id
    ),
    counted (id, loop, model_version) as (
        select id, '', '' from began union select id, loop, model_version from known
        union select id, loop, '' from known union select id, '', model_version from known
    )
    select :day, coalesce(channel, ''), coalesce(language, ''), loop, model_version, count(*), sum(turns), sum(spoke),
        sum(handed_over), sum(resolved is 'assumed'), sum(resolved is 'confirmed')
    from counted join began using (id) group by 2, 3, 4, 5
"""


def _of_chosen(*kept: str) -> str:
    """The sums of candidates over all values of a column, but for those that are kept apart."""
    columns = [
        f"coalesce({column}, '') as {column}" if column in kept else f"'*' as {column}"
        for column in ("channel", "language", "model_version")
    ]
    return f"""
        insert into chosen_days
        select :day, loop, channel, language, model_version, chosen, sum(live), sum(activated), sum(fed > 0), sum(fed),
            sum(w), sum(s), sum(s * s), sum(s * w), sum(w * w)
        from (
            select loop, {", ".join(columns)}, chosen, sum(live) as live, sum(activated) as activated,
                count(reward) as fed,
                coalesce(sum(case when reward is not null then weight end), 0.0) as w,
                coalesce(sum(reward * weight), 0.0) as s
            from decisions where day = :day group by {", ".join(("loop", *kept, "chosen", "conversation"))}
        ) group by loop, channel, language, model_version, chosen
    """


_CHOSEN = (_of_chosen(), *(_of_chosen(column) for column in ("channel", "language", "model_version")))

#: what makes the sums of a `:day` anew, beside those of rewards.
SCRIPTS = (_SIGNALS, _INTENTS, _CONVERSATIONS, *_CHOSEN)
