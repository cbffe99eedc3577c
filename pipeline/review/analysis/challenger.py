"""Challenger: compares the verdicts of a second model with those of the first on the same images."""

from dataclasses import dataclass

import duckdb

COMPARISON_SQL = """
    SELECT second.verdict, count(*), count(*) FILTER (first.verdict = second.verdict),
           count(*) FILTER (first.verdict IS NOT NULL)
    FROM (SELECT unit, "index", verdict FROM verdicts WHERE model = $challenger AND verdict IS NOT NULL) AS second
    LEFT JOIN (SELECT unit, "index", verdict FROM verdicts WHERE model = $model) AS first USING (unit, "index")
    GROUP BY ALL
"""


@dataclass(frozen=True)
class Challenger:
    """A challenger's verdicts.

    Attributes:
        model: its digest.
        verdicts: numbers of images by verdict.
        both: number of images with a verdict of both models.
        agreed: number of those with equal verdicts.
    """

    model: str
    verdicts: dict[str, int]
    both: int
    agreed: int


def challenger(views: duckdb.DuckDBPyConnection, model: str, other: str) -> Challenger:
    """Compare a challenger's verdicts with a model's.

    Args:
        views: a connection with the view `verdicts`.
        model: the model's digest.
        other: the challenger's digest.
    """
    rows = views.execute(COMPARISON_SQL, {"model": model, "challenger": other}).fetchall()
    counts = {str(verdict): int(images) for verdict, images, _, _ in sorted(rows)}
    return Challenger(other, counts, sum(int(row[3]) for row in rows), sum(int(row[2]) for row in rows))
