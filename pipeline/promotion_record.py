"""Promotion record: an entry of a registry's log."""

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Promotion(BaseModel):
    """An entry of the log.

    Attributes:
        number: counted from 1.
        digest: the version that is promoted from here on.
        replaced: the version promoted before; for the first entry the base that it was compared with, None if there was
            none.
        reason: the gate's decision in words, or that a promotion was rolled back.
        at: time, UTC.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    digest: str
    replaced: str | None
    reason: str
    at: AwareDatetime
