"""Image record: an image's row, its score in words, its copies, and the verdicts of other models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline.labels import Label
from pipeline.review.browsing.checkpoints import Checkpoints
from pipeline.review.browsing.snapshot import Row, TableSnapshot
from pipeline.telemetry.printable import printable

VERDICT_TITLES = {
    "generated": "Called generated",
    "real": "Called real",
    "unsure": "Called unsure",
    None: "No verdict",
}
DECLARED = {
    "generator": "Generator",
    "software": "Software",
    "camera": "Camera",
    "source_type": "Source type (IPTC)",
    "c2pa": "Content credentials (C2PA)",
}
MAX_NOTE_LETTERS = 40
"""Maximum length of a note in a sentence."""
MAX_COPIES = 50
WIDTH = 600
"""Width of the score's drawing in its own units."""


@dataclass(frozen=True)
class Scale:
    """Positions of a score and the thresholds in a drawing that is `WIDTH` wide.

    Attributes:
        score: position of the score.
        real_below: position of the threshold below which images are real; None if unknown.
        generated_above: position of the one from which on they are generated.
    """

    score: float
    real_below: float | None
    generated_above: float | None


class Records:
    """Reads the records of images.

    Args:
        snapshot: of the images; ready.
        checkpoints: the available checkpoints.
    """

    def __init__(self, snapshot: TableSnapshot, checkpoints: Checkpoints) -> None:
        self._snapshot = snapshot
        self._checkpoints = checkpoints

    def row(self, number: int) -> Row | None:
        """Read an image's row; None if there is no such image."""
        rows = self._snapshot.ask("SELECT * FROM images WHERE id = ?", [number])
        return rows[0] if rows else None

    def others(self, row: Row) -> list[Row]:
        """Read the verdicts of other models, the newest first."""
        return self._snapshot.ask("SELECT * FROM judgements WHERE id = ? ORDER BY scanned_at DESC, model", [row["id"]])

    def copies(self, row: Row) -> list[Row]:
        """Find images with the same bytes."""
        if row["content_hash"] is None:
            return []
        return self._snapshot.ask(
            f"SELECT id, key, uri, verdict, probability FROM images WHERE content_hash = ? AND id <> ? ORDER BY id "
            f"LIMIT {MAX_COPIES}",
            [row["content_hash"], row["id"]],
        )

    def verdict(self, row: Row) -> str:
        """Describe the score and the thresholds in a sentence."""
        said = VERDICT_TITLES.get(row["verdict"], "No verdict")
        if row["logit"] is None:
            return f"{said}: {printable(row['detail'] or row['status'].replace('_', ' '))}."
        low, high = self.thresholds(row)
        parts = [] if high is None else [f"images are called generated from {self._threshold(row, high)} up"]
        parts += [] if low is None else [f"real below {self._threshold(row, low)}"]
        text = f"{said}: the probability that it is generated is {chance(row['probability'])} ({_logit(row['logit'])})."
        if not parts:
            return text
        words = ", ".join(parts)
        if self._checkpoints.of(row["model"]) is None:
            return f"{text} As far as the verdicts of the table show, {words}."
        return f"{text} {words[0].upper()}{words[1:]}."

    def thresholds(self, row: Row) -> tuple[float | None, float | None]:
        """Return the thresholds of a row's model in logits: real below, generated from there up; None if unknown."""
        return self._snapshot.thresholds.get(row["model"], (None, None))

    def scale(self, row: Row) -> Scale | None:
        """Compute the positions of a score and the thresholds; None without a score."""
        if row["logit"] is None:
            return None
        low, high = self.thresholds(row)
        marks = [mark for mark in (low, high, row["logit"]) if mark is not None]
        least, most = min(marks), max(marks)
        margin = max(1.0, 0.25 * (most - least))
        begin, span = least - margin, most - least + 2 * margin

        def place(logit: float | None) -> float | None:
            """Return the position of a logit in the drawing."""
            return None if logit is None else round((logit - begin) / span * WIDTH, 1)

        return Scale(place(row["logit"]) or 0.0, place(low), place(high))

    def _threshold(self, row: Row, logit: float) -> str:
        found = self._checkpoints.chance(row["model"], logit, (row["logit"], row["probability"]))
        return _logit(logit) if found is None else f"{chance(found)} ({_logit(logit)})"


def _logit(value: float) -> str:
    return f"logit {value:.2f}".replace("-", "\N{MINUS SIGN}")


def chance(probability: float | None) -> str:
    """Format a probability, never as 0 or 1 unless it is."""
    if probability is None:
        return "none"
    if 0 < probability < 0.001:
        return "under 0.001"
    if 0.999 < probability < 1:
        return "over 0.999"
    return f"{probability:.3f}"


def name(row: Mapping[str, Any]) -> str:
    """Return an image's name without folders, and without control and direction characters."""
    text = str(row["key"] or row["uri"] or f"image {row['index']}")
    return printable(text.rstrip("/").rpartition("/")[2] or text)


def state(label: Mapping[str, Any] | None) -> str:
    """Describe the label and note of an image, as a continuation of its name."""
    marked = "is not marked" if label is None or label["label"] == Label.NOTE else f"is marked {label['label']}"
    texts = {} if label is None else {name: label[name] for name in ("generator", "note") if label[name]}
    both = " and ".join(f"the {name} “{_begun(text)}”" for name, text in texts.items())
    return f"{marked}, with {both}" if both else marked


def _begun(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= MAX_NOTE_LETTERS else f"{line[: MAX_NOTE_LETTERS - 1]}…"


def link(row: Row) -> str | None:
    """Return the web URL of an image, None if there is none that a browser may open."""
    uri = str(row["uri"] or "")
    return uri if urlsplit(uri).scheme in ("http", "https") and row["length"] is None else None


def declared(row: Row) -> list[tuple[str, str]]:
    """List the facts that an image's file declares, with their names."""
    said = row["provenance"] or {}
    return [(words, printable(str(said[field]))) for field, words in DECLARED.items() if said.get(field)]
