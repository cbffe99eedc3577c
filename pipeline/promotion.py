"""Promotion: one entry of a registry's log."""

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Promotion(BaseModel):
    """One entry of the log.

    Attributes:
        number: counted from 1.
        digest: what is promoted from here on.
        replaced: what was promoted before; for the first the base that it was held against, None if there was none.
        reason: why, in words: the gate's verdict, or that it was taken back.
        at: when, UTC.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    digest: str
    replaced: str | None
    reason: str
    at: AwareDatetime
