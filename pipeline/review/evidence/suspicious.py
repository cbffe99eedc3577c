"""Suspicious: the images that were most likely generated, by what their files declare and by their scores, and why."""

import os
import re
from dataclasses import dataclass
from typing import Any, Self

import duckdb

from pipeline.telemetry.redaction import redacted

SUSPICIOUS = "(declared = 'generated' OR verdict = 'generated')"
"""Of the rows of the view `evidence`, those that are listed."""
ORDER = "coalesce(declared = 'generated', false) DESC, logit DESC NULLS LAST, unit, \"index\""
"""Those whose files declare it come first, then the others; in either the highest probability comes first."""
MOST, FAULTS = 10, 5
COPIES = 8
"""Times as many images are read as are listed, since those with the same bytes are listed once."""
LONGEST = 60
"""Characters of what a file declares."""
SETTINGS = re.compile(r"\bSteps: \d")
NAMED = re.compile(r"\b(App|Model): ([^,\n]+)")
"""How web UIs write the settings of an image."""

COUNTS = """
    SELECT count(*) FILTER (declared = 'generated'), count(*) FILTER (declared = 'camera'),
           count(*) FILTER (declared = 'generated' AND contradicted),
           count(*) FILTER (declared = 'camera' AND contradicted),
           count(*) FILTER ({suspicious}), count(*), count(*) FILTER (status <> 'ok')
    FROM evidence
"""
FOUND = """
    SELECT unit, "index", uri, key, "offset", content_hash, verdict, probability, status, detail, declared,
           contradicted, provenance
    FROM evidence SEMI JOIN (
        SELECT unit, "index" FROM evidence WHERE {which} ORDER BY {order} LIMIT {most}
    ) USING (unit, "index")
    ORDER BY {order}
"""
"""In two steps, so that names are read of the listed images alone."""


@dataclass(frozen=True)
class Suspect:
    """An image that may have been generated.

    Attributes:
        unit: the unit that it is of, as the table names it.
        uri: where its bytes are.
        key: what the source calls it.
        inside: whether it is one of the images in the file at `uri`.
        verdict: None if it could not be scored.
        probability: at the prevalence of the run that scored it; None if it could not be scored.
        status: `ok`, or why it could not.
        detail: that reason in words; empty if it could.
        declared: `generated`, `camera` or None.
        named: the generator or camera that the file names, or its source type; empty if it declares nothing.
        contradicted: whether the verdict and what the file declares exclude each other.
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
        """Make one of a row of the view `evidence`."""
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
        """Name the image as a person finds it.

        Args:
            folder: the folder that was scanned, if it was one: names below it are written from there; others from the
                current folder where they lie below that.
        """
        place = redacted(self.uri or self.key)
        for top in (folder, os.getcwd()):
            start = f"{top.rstrip('/')}/" if top else None
            if start and place.startswith(start):
                place = place.removeprefix(start)
                break
        return f"{place}: {self.key}" if self.inside else place

    @property
    def reason(self) -> str:
        """Say in a few words why it is listed."""
        if self.declared == "generated":
            against = {"real": "contradicts its score", "unsure": "its score is unsure"}
            beside = against.get(self.verdict, "") if self.verdict else f"not scored: {self.status}"
            return f"its file declares {self.named}" + (f"; {beside}" if beside else "")
        if self.contradicted:
            return f"its score; its file contradicts it, declares {self.named}"
        if self.verdict is None:
            return f"{self.status.replace('_', ' ')}, {self.detail}" if self.detail else self.status.replace("_", " ")
        return "its score"


def short(said: str) -> str:
    """Write what a file declares as a name: of a generator's settings its program and its model, else the beginning."""
    settings = dict(NAMED.findall(said)) if SETTINGS.search(said) else {}
    name = " ".join(settings[fact].strip() for fact in ("App", "Model") if fact in settings) or " ".join(said.split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


@dataclass(frozen=True)
class Suspicion:
    """What files declare, and the images to look at first.

    Attributes:
        declared_generated: images whose files declare a generator.
        declared_camera: images whose files declare a camera.
        declared_generated_real: of the first, those whose verdict is `real`.
        declared_camera_generated: of the second, those whose verdict is `generated`.
        listed: images whose files declare a generator or whose verdict is `generated`.
        images: all images.
        faulty: images without a verdict.
        first: the first of those that are listed, in the order in which they are worth a look, those with the same
            bytes once; of few images all.
        faults: the first images without a verdict that do not stand there.
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


def suspicion(views: duckdb.DuckDBPyConnection, most: int = MOST) -> Suspicion:
    """Ask a table what its files declare, and which images are the most suspicious.

    Args:
        views: a connection with the view `evidence`.
        most: images that are listed at most.
    """
    counts = [int(count) for count in views.execute(COUNTS.format(suspicious=SUSPICIOUS)).fetchall()[0]]
    generated, camera, generated_real, camera_generated, listed, images, faulty = counts
    if images <= most:
        first = _asked(views, "true", ORDER, most)
    else:
        first = _once(_asked(views, SUSPICIOUS, ORDER, COPIES * most))[:most] if listed else []
    shown = {(row["unit"], row["index"]) for row in first}
    faults = _asked(views, "status <> 'ok'", 'unit, "index"', FAULTS + len(first)) if faulty else []
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


def _asked(views: duckdb.DuckDBPyConnection, which: str, order: str, most: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        views.sql(FOUND.format(which=which, order=order, most=most)).to_arrow_table().to_pylist()
    )
    return rows


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out images whose bytes another one before them has."""
    contents = [row["content_hash"] or (row["unit"], row["index"]) for row in rows]
    return [row for number, row in enumerate(rows) if contents.index(contents[number]) == number]


def question(most: int = MOST) -> str:
    """Write the SQL that lists the most suspicious images, for whoever asks a table by hand; no double quotes in it."""
    return (
        "SELECT key, verdict, probability, declared, contradicted, uri FROM evidence "
        "WHERE declared = 'generated' OR verdict = 'generated' "
        f"ORDER BY declared = 'generated' DESC NULLS LAST, logit DESC NULLS LAST LIMIT {most}"
    )
