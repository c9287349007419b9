"""Neighbours: the past contexts nearest to that of a decision, and what was earned in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from agent.log import Event, LearningLog
from agent.model import context_of
from agent.rewards import earned
from agent.standing import settings_of
from policies.types import Vector

_BLOCK = 4096  # contexts compared at a time: their float64 copies stay small
_TINY = 1e-30  # a length that is none
_FIRST_LOOK = 32  # decisions asked at first what they earned; then four times as many, and so on


def nearest(log: LearningLog, decision: Event, n: int) -> list[dict[str, Any]]:
    """The n past decisions of the loop, nearest first, that the decision's model had learned from, or could have.

    Near is the cosine of the context embeddings, compared exactly with those of every earlier decision; of equally
    near ones the later comes first. What each earned is what was known when the model was folded (`model_seq`).
    Contexts embedded by another encoder than the one then in use cannot be compared and are left out.

    Returns:
        `decision_id`, `at`, `text`, `chosen`, `similarity` in [-1, 1] and `reward` (`value`, `weight`) of each.

    Raises:
        InvalidInput: the log holds no embedding of what was said in the decision.
    """
    upto = decision.body["model_seq"]
    found: list[dict[str, Any]] = []
    for event, similarity in _heard(log, decision, settings_of(log, decision).encoder):
        reward = earned(log.evidence(event, upto=upto))
        if reward is not None:
            found.append(_neighbour(event, similarity) | {"reward": {"value": reward.value, "weight": reward.weight}})
        if len(found) == n:
            break
    return found


def _by_similarity(log: LearningLog, decision: Event, encoder: str) -> tuple[list[int], list[float]]:
    """`seq` of the loop's earlier decisions and their similarities, nearest first."""
    rows = log.contexts(decision.loop or "", upto=decision.body["model_seq"])
    contexts = json.loads(f"[{','.join(context for _, context in rows)}]")  # at once: one call, however many there are
    refs, vectors = log.stacked((ref for context in contexts for ref, _ in context), encoder=encoder)
    place = {ref: i for i, ref in enumerate(refs)}
    comparable = [i for i, context in enumerate(contexts) if context and all(ref in place for ref, _ in context)]
    if not comparable:
        return [], []
    cosines = _cosines(
        context_of(decision, log, encoder=encoder).vector,
        torch.frombuffer(vectors, dtype=torch.float32).view(len(refs), -1),
        [[(place[ref], weight) for ref, weight in contexts[i]] for i in comparable],
    )
    seqs = torch.tensor([rows[i][0] for i in comparable])
    # Sums in another order differ in the last digit: what is equal but for that is ordered by time.
    order = torch.argsort(cosines.round(decimals=12).flip(0), descending=True, stable=True)
    return seqs.flip(0)[order].tolist(), cosines.flip(0)[order].tolist()


def _cosines(point: Vector, vectors: Tensor, contexts: Sequence[Sequence[tuple[int, float]]]) -> Tensor:
    """Cosines (n,) of a unit vector (d,) with n contexts, each a weighted sum of rows of vectors (m x d)."""
    longest = max(map(len, contexts))
    padded = [[*context, *[(0, 0.0)] * (longest - len(context))] for context in contexts]
    rows = torch.tensor([[row for row, _ in context] for context in padded])
    weights = torch.tensor([[weight for _, weight in context] for context in padded], dtype=torch.float64)
    point = torch.as_tensor(point, dtype=torch.float64)
    found = []
    for start in range(0, len(contexts), _BLOCK):
        some = slice(start, start + _BLOCK)
        sums = torch.einsum("nr,nrd->nd", weights[some], vectors[rows[some]].double())
        found.append(torch.mv(sums, point) / torch.linalg.vector_norm(sums, dim=1).clamp_min(_TINY))
    return torch.cat(found)


def _heard(log: LearningLog, decision: Event, encoder: str) -> Iterator[tuple[Event, float]]:
    """Past decisions that somebody reacted to, and their similarity, nearest first; asked for in growing numbers."""
    seqs, similarities = _by_similarity(log, decision, encoder)
    upto, start, size = decision.body["model_seq"], 0, _FIRST_LOOK
    while start < len(seqs):
        heard = log.heard(seqs[start : start + size], upto=upto)
        for place in range(start, min(start + size, len(seqs))):
            if seqs[place] in heard:
                yield next(log.read(after=seqs[place] - 1, upto=seqs[place])), similarities[place]
        start, size = start + size, 4 * size


def _neighbour(event: Event, similarity: float) -> dict[str, Any]:
    return {
        "decision_id": event.id,
        "at": event.at,
        "text": event.body.get("text"),
        "chosen": event.body["chosen"],
        "similarity": similarity,
    }
