"""Facets: numbers of images by verdict, status, source, generator and model, for the filter."""

from dataclasses import dataclass

from pipeline.review.browsing.snapshot import TableSnapshot

MAX_VALUES = 200
"""Maximum number of values of a facet; others can be typed."""

Counts = list[tuple[str, int]]


@dataclass(frozen=True)
class Facets:
    """The values of each facet with their numbers of images, the most frequent first.

    Attributes:
        verdict: a verdict, or none.
        status: a status.
        declared: generated, camera or nothing.
        source: a folder or domain.
        generator: a generator named in files.
        model: the row's model.
        contradicted: images whose file contradicts the verdict.
        changed: images whose verdict differs between the two newest models.
    """

    verdict: Counts
    status: Counts
    declared: Counts
    source: Counts
    generator: Counts
    model: Counts
    contradicted: int
    changed: int

    @classmethod
    def of(cls, snapshot: TableSnapshot) -> "Facets":
        """Compute the facets, once per snapshot."""

        def counts(value: str) -> Counts:
            """Count the images by an SQL value."""
            rows = snapshot.ask(
                f"SELECT {value} AS value, count(*) AS images FROM images GROUP BY 1 HAVING value IS NOT NULL "
                f"ORDER BY 2 DESC, 1 LIMIT {MAX_VALUES}"
            )
            return [(row["value"], row["images"]) for row in rows]

        single = snapshot.ask(
            "SELECT count(*) FILTER (contradicted) AS contradicted, (SELECT count(*) FROM changes) AS changed "
            "FROM images"
        )[0]
        return cls(
            counts("coalesce(verdict, 'none')"),
            counts("status"),
            counts("coalesce(declared, 'nothing')"),
            counts("source"),
            counts("generator"),
            counts("model"),
            single["contradicted"],
            single["changed"],
        )
