"""The arms of a loop in one process: a model for the champion, one for the challenger, and those lately in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.log import LearningLog
from agent.model import Model
from agent.settings import LoopSettings
from agent.snapshots import Snapshots
from agent.standing import CHALLENGER, Standing, standing_of

KEPT = 3  # folds kept at hand: both arms, and the champion before, so that a roll-back costs next to nothing


@dataclass(frozen=True)
class Arm:
    """Who answers: the `model`, as which arm (`name`), and how likely (`share`) this arm was to be assigned.

    `unit` is what it was assigned by; None where there was nothing to assign.
    """

    name: str
    share: float
    model: Model
    unit: str | None = None


class Arms:
    """The models of one loop. Not safe to use from several threads at once: the service holds a lock around it."""

    def __init__(self, log: LearningLog, loop: str, *, snapshots: Snapshots | None = None) -> None:
        self.loop = loop
        self.standing = Standing()
        self._log, self._snapshots = log, snapshots
        self._models: list[Model] = []  # the one used last at the end
        self._champion = Model(log, loop)  # one that does not exist, until the loop does

    def __iter__(self) -> Iterator[Model]:
        """All models at hand."""
        return iter(self._models)

    @property
    def used(self) -> Model:
        """The champion's model as far as it is folded."""
        return self._champion

    def champion(self) -> Model:
        """The model that is in force, caught up with the log; it does not exist where the loop does not."""
        if not self._champion.exists:
            self.standing = standing_of(self._log, self.loop)
            if self.standing.champion is None:
                return self._champion
            self._champion = self.of(self.standing.champion)
        self._champion.catch_up()
        while self._champion.standing.seq != self.standing.seq:  # somebody has changed what is in force
            self.standing = self._champion.standing
            assert self.standing.champion is not None, "a loop that has begun does not end"
            self._champion = self.of(self.standing.champion)
            self._champion.catch_up()
        return self._champion

    def challenger(self) -> Model | None:
        """The model on trial, folded as far as the champion's; None where there is none."""
        champion, settings = self.champion(), self.standing.challenger
        if settings is None:
            return None
        model = self.of(settings, but=champion)
        model.catch_up(champion.seq)
        return model

    def answering(self, unit: str | None) -> Arm:
        """Who answers a unit (the hash of a conversation, or whatever else names what stays together)."""
        champion = self.champion()
        name, share = self.standing.arm(self.loop, unit)
        if self.standing.challenger is None:
            return Arm(name, share, champion)
        return Arm(name, share, (self.challenger() if name == CHALLENGER else None) or champion, unit)

    def of(self, settings: LoopSettings, *, but: Model | None = None) -> Model:
        """A model that folds under these settings, as far as it is folded: one at hand (`but` one), or a new one."""
        free = [model for model in reversed(self._models) if model is not but]
        found = next((model for model in free if model.settings == settings), None)
        found = found or next((model for model in free if model.settings.version == settings.version), None)
        if found is None:
            found = Model(self._log, self.loop, snapshots=self._snapshots, settings=settings)
        elif found.settings is not settings:
            found.govern(settings)
        others = [model for model in self._models if model not in (found, self._champion)]
        champion = [model for model in self._models if model is self._champion and model is not found]
        self._models = [*others[len(champion) + 1 - KEPT :], *champion, found]
        return found
