"""Suspicious: the images most likely generated, by declared provenance and score, with reasons."""

import os
import re
from dataclasses import dataclass
from typing import Any, Self

import duckdb

from pipeline.telemetry.redaction import redacted

SUSPICIOUS = "(declared = 'generated' OR verdict = 'generated')"
"""The SQL condition on the view `evidence`."""
ORDER = "coalesce(declared = 'generated', false) DESC, logit DESC NULLS LAST, unit, \"index\""
"""The SQL order: images whose files declare it first, then the others, each by descending score."""
MAX_SHOWN, FAULTS = 10, 5
DUPLICATE_FACTOR = 8
"""Factor of rows read, since images with equal bytes are listed once."""
MAX_TEXT_LETTERS = 60
"""Maximum length of a declared text."""
SETTINGS = re.compile(r"\bSteps: \d")
SETTINGS_FIELDS = re.compile(r"\b(App|Model): ([^,\n]+)")
"""Fields of the settings text of web UIs."""

COUNTS_SQL = """
    SELECT count(*) FILTER (declared = 'generated'), count(*) FILTER (declared = 'camera'),
           count(*) FILTER (declared = 'generated' AND contradicted),
           count(*) FILTER (declared = 'camera' AND contradicted),
           count(*) FILTER ({suspicious}), count(*), count(*) FILTER (status <> 'ok')
    FROM evidence
"""
SUSPICIOUS_SQL = """
    SELECT unit, "index", uri, key, "offset", content_hash, verdict, probability, status, detail, declared,
           contradicted, provenance
    FROM evidence SEMI JOIN (
        SELECT unit, "index" FROM evidence WHERE {which} ORDER BY {order} LIMIT {limit}
    ) USING (unit, "index")
    ORDER BY {order}
"""
"""In two steps, so that texts are read only for the listed images."""


@dataclass(frozen=True)
class Suspect:
    """A suspicious image.

    Attributes:
        unit: its unit in the table.
        uri: URL of its bytes.
        key: its name in the source.
        inside: whether it is one of several images in the file at `uri`.
        verdict: None if it could not be scored.
        probability: at the prevalence of its run; None if it could not be scored.
        status: `ok`, or the fault.
        detail: the fault's reason in words; empty if none.
        declared: `generated`, `camera` or None.
        named: the generator or camera that the file names, or its source type; empty if it declares nothing.
        contradicted: whether the verdict contradicts the declared provenance.
    """

    unit: str
    uri: str | None
    key: str
    inside: bool
    verdict: str | None
    probability: float | None
    status: str
    detail: str
    declared: str | None
    named: str
    contradicted: bool

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make a suspect from a row of the view `evidence`."""
        provenance = row["provenance"] or {}
        names = ("generator", "source_type") if row["declared"] == "generated" else ("camera", "source_type")
        own = row["unit"].rpartition("#")[0] == row["uri"] and not str(row["uri"]).endswith(row["key"] or "")
        return cls(
            unit=row["unit"],
            uri=row["uri"],
            key=row["key"] or "",
            inside=row["offset"] is not None or own,
            verdict=row["verdict"],
            probability=row["probability"],
            status=row["status"],
            detail=row["detail"] or "",
            declared=row["declared"],
            named=next((short(provenance[name]) for name in names if provenance.get(name)), ""),
            contradicted=bool(row["contradicted"]),
        )

    def name(self, folder: str | None = None) -> str:
        """Return the image's name for display.

        Args:
            folder: the scanned folder, if there is one: paths below it are relative to it, others to the current folder
                if below that.
        """
        place = redacted(self.uri or self.key)
        for top in (folder, os.getcwd()):
            start = f"{top.rstrip('/')}/" if top else None
            if start and place.startswith(start):
                place = place.removeprefix(start)
                break
        return f"{place}: {self.key}" if self.inside and self.key else place

    @property
    def reason(self) -> str:
        """The reason why it is listed."""
        if self.declared == "generated":
            against = {"real": "contradicts its score", "unsure": "its verdict is unsure"}
            beside = against.get(self.verdict, "") if self.verdict else f"not scored: {self.status}"
            return f"its file declares {self.named}" + (f"; {beside}" if beside else "")
        if self.contradicted:
            return f"its score; its file contradicts it, declares {self.named}"
        if self.verdict is None:
            return f"{self.status.replace('_', ' ')}, {self.detail}" if self.detail else self.status.replace("_", " ")
        return "its score"


def short(text: str) -> str:
    """Shorten a declared text: program and model of a generator's settings, else the beginning."""
    settings = dict(SETTINGS_FIELDS.findall(text)) if SETTINGS.search(text) else {}
    name = " ".join(settings[fact].strip() for fact in ("App", "Model") if fact in settings) or " ".join(text.split())
    return name if len(name) <= MAX_TEXT_LETTERS else f"{name[: MAX_TEXT_LETTERS - 1]}…"


@dataclass(frozen=True)
class Suspicion:
    """Counts of declared provenance, and the most suspicious images.

    Attributes:
        declared_generated: number of images whose files declare a generator.
        declared_camera: number of images whose files declare a camera.
        declared_generated_real: number of the former whose verdict is `real`.
        declared_camera_generated: number of the latter whose verdict is `generated`.
        listed: number of suspicious images.
        images: number of images.
        faulty: number of images without a verdict.
        first: the most suspicious images, without duplicates; of few images all.
        faults: the first images without a verdict that are not in `first`.
    """

    declared_generated: int
    declared_camera: int
    declared_generated_real: int
    declared_camera_generated: int
    listed: int
    images: int
    faulty: int
    first: tuple[Suspect, ...]
    faults: tuple[Suspect, ...]


def suspicion(views: duckdb.DuckDBPyConnection, limit: int = MAX_SHOWN) -> Suspicion:
    """Query the declared provenance and the most suspicious images of a table.

    Args:
        views: a connection with the view `evidence`.
        limit: maximum number of images.
    """
    counts = [int(count) for count in views.execute(COUNTS_SQL.format(suspicious=SUSPICIOUS)).fetchall()[0]]
    generated, camera, generated_real, camera_generated, listed, images, faulty = counts
    if images <= limit:
        first = _select(views, "true", ORDER, limit)
    else:
        first = _once(_select(views, SUSPICIOUS, ORDER, DUPLICATE_FACTOR * limit))[:limit] if listed else []
    shown = {(row["unit"], row["index"]) for row in first}
    faults = _select(views, "status <> 'ok'", 'unit, "index"', FAULTS + len(first)) if faulty else []
    more = [row for row in faults if (row["unit"], row["index"]) not in shown][:FAULTS]
    return Suspicion(
        declared_generated=generated,
        declared_camera=camera,
        declared_generated_real=generated_real,
        declared_camera_generated=camera_generated,
        listed=listed,
        images=images,
        faulty=faulty,
        first=tuple(map(Suspect.of, first)),
        faults=tuple(map(Suspect.of, more)),
    )


def _select(views: duckdb.DuckDBPyConnection, which: str, order: str, limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        views.sql(SUSPICIOUS_SQL.format(which=which, order=order, limit=limit)).to_arrow_table().to_pylist()
    )
    return rows


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Remove duplicates of earlier images."""
    contents = [row["content_hash"] or (row["unit"], row["index"]) for row in rows]
    return [row for number, row in enumerate(rows) if contents.index(contents[number]) == number]


def question(limit: int = MAX_SHOWN) -> str:
    """Return the SQL that lists the most suspicious images, without double quotes, for use in a shell command."""
    return (
        "SELECT key, verdict, probability, declared, contradicted, uri FROM evidence "
        "WHERE declared = 'generated' OR verdict = 'generated' "
        f"ORDER BY declared = 'generated' DESC NULLS LAST, logit DESC NULLS LAST LIMIT {limit}"
    )
