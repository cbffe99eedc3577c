"""Summary: the result of a scan, as its command prints it and its run record keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """The result of a scan, and what the table now holds of its source.

    Attributes:
        table: URL of the model's partition of the verdict table.
        model: the model's digest.
        units: units of the source.
        images: rows that the table holds of them.
        written: rows that this run wrote.
        repaired: duplicate rows that were removed.
        skipped: files of folders skipped because of their name.
        shards_skipped: how many of those are shards.
        hidden: names skipped because they begin with a dot; a folder counts as one.
        seconds: from reading the source to the completeness check.
        statuses: rows by status.
        verdicts: rows by verdict.
        law: the completeness check: `kept` where every image has exactly one row, `open` where `--max-images` or
            `--max-hours` ended the run earlier.
        stopped: the flag that ended the run; None where the source is done.
        units_left: units that are not done.
        images_left: their images without a row; None where a shard's number of images is unknown.
        thresholds: the probabilities, at the run's prevalence, below which an image is `real`, and from which it is
            `generated`.
    """

    table: str
    model: str
    units: int
    images: int
    written: int
    repaired: int
    skipped: int
    shards_skipped: int
    hidden: int
    seconds: float
    statuses: dict[str, int]
    verdicts: dict[str, int]
    law: str
    stopped: str | None
    units_left: int
    images_left: int | None
    thresholds: tuple[float, float]
