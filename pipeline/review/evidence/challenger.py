"""Challenger: the verdicts of a second model on the same images, beside those of the first."""

from dataclasses import dataclass

import duckdb

COMPARED = """
    SELECT second.verdict, count(*), count(*) FILTER (first.verdict = second.verdict),
           count(*) FILTER (first.verdict IS NOT NULL)
    FROM (SELECT unit, "index", verdict FROM verdicts WHERE model = $challenger AND verdict IS NOT NULL) AS second
    LEFT JOIN (SELECT unit, "index", verdict FROM verdicts WHERE model = $model) AS first USING (unit, "index")
    GROUP BY ALL
"""


@dataclass(frozen=True)
class Challenger:
    """What a challenger said.

    Attributes:
        model: its digest.
        verdicts: images by verdict.
        both: images that both models gave a verdict.
        agreed: those of them whose verdicts are the same.
    """

    model: str
    verdicts: dict[str, int]
    both: int
    agreed: int


def challenger(views: duckdb.DuckDBPyConnection, model: str, other: str) -> Challenger:
    """Hold a challenger's verdicts beside a model's.

    Args:
        views: a connection with the view `verdicts`.
        model: the model's digest.
        other: the challenger's.
    """
    rows = views.execute(COMPARED, {"model": model, "challenger": other}).fetchall()
    counts = {str(verdict): int(images) for verdict, images, _, _ in sorted(rows)}
    return Challenger(other, counts, sum(int(row[3]) for row in rows), sum(int(row[2]) for row in rows))
