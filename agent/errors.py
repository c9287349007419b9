"""What can go wrong, said once: every error names what was wrong and where."""

from __future__ import annotations


class RejoinderError(Exception):
    """Base of the errors a person is meant to read. Its text is one clear line."""


class InvalidInput(RejoinderError, ValueError):
    """The caller gave something that cannot be used; nothing was changed."""


class Unknown(InvalidInput, LookupError):
    """A decision, event, loop or candidate that the learning log does not hold."""


class NoneEligible(InvalidInput):
    """None of the candidates offered may be chosen; the message says why. Where a customer waits, others answer."""


class Conflict(InvalidInput):
    """An event id that was used before for something else."""


class LogUnavailable(RejoinderError):
    """The learning log cannot be opened, read or written now; try again, nothing was lost."""


class ModelMissing(RejoinderError):
    """A model (the encoder's or the assistant's) is not where it should be."""


class SourceUnavailable(RejoinderError):
    """A catalogue's source cannot be read now; what was loaded from it before stays."""


class AccessUnavailable(RejoinderError):
    """What says who may do what cannot be opened, read or written now; try again, nothing was lost."""
