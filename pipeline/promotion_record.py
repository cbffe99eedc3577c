"""Promotion record: an entry of a registry's log."""

import json

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from mole.errors import StorageError

FORMAT = 1
"""The version of the registry's layout, which every entry names; those from before it was written are of the first."""


class Promotion(BaseModel):
    """An entry of the log.

    Attributes:
        format: version of the registry's layout.
        number: counted from 1.
        digest: the version that is promoted from here on.
        replaced: the version promoted before; for the first entry the base that it was compared with, None if there was
            none.
        reason: the gate's decision in words, or that a promotion was rolled back.
        at: time, UTC.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    number: int
    digest: str
    replaced: str | None
    reason: str
    at: AwareDatetime


def read_promotion(text: bytes, file: str) -> Promotion:
    """Read an entry.

    Args:
        text: its JSON.
        file: its URL, for the error message.

    Raises:
        StorageError: another version wrote it, or it is damaged.
    """
    try:
        content = json.loads(text)
        found = content.get("format", FORMAT) if isinstance(content, dict) else FORMAT
        if found != FORMAT:
            raise StorageError(f"{file} has registry format {found}, this version reads {FORMAT}")
        return Promotion.model_validate(content)
    except (ValueError, ValidationError) as reason:
        raise StorageError(f"{file} is no entry of a registry's log: {reason}") from reason
