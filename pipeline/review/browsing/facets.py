"""Facets: what a table has to choose from: how many images of each verdict, status, source and generator."""

from dataclasses import dataclass

from pipeline.review.browsing.snapshot import TableSnapshot

MOST = 200
"""Sources and generators that are offered; others can be typed."""

Counts = list[tuple[str, int]]


@dataclass(frozen=True)
class Facets:
    """Each value with its images, the most frequent first.

    Attributes:
        verdict: a verdict, or none.
        status: a status.
        declared: generated, camera or nothing.
        source: a folder or domain.
        generator: that files name.
        model: that judged.
        contradicted: images whose file says otherwise than the verdict.
        changed: images that the newest model called other than the one before it.
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
        """Count them once; the table's copy does not change."""

        def counts(value: str) -> Counts:
            rows = snapshot.ask(
                f"SELECT {value} AS value, count(*) AS images FROM images GROUP BY 1 HAVING value IS NOT NULL "
                f"ORDER BY 2 DESC, 1 LIMIT {MOST}"
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
