"""Breakdown: counts of one model's rows by source, format and size."""

from dataclasses import dataclass

from pipeline.review.analysis.findings import Share
from pipeline.review.analysis.model_rows import ModelRows

MAX_GROUPS = 12
"""Groups per table; the rest is one row."""
TALLIES = ("images", "scored", "generated", "unsure")
ARCHIVE = r"\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|tar\.zst|tzst)$"
MAX_ARCHIVES = 200
"""Maximum number of archives that are groups of their own; if there are more, their folders are."""
SIDES = (256, 512, 768, 1024, 2048)
"""Upper bounds of the size classes, in pixels of the shorter side."""


@dataclass(frozen=True)
class Group:
    """A group of images with a common property, or the rest."""

    name: str
    images: int
    scored: int
    generated: int
    unsure: int

    @property
    def called(self) -> Share:
        """The share called generated among those with a verdict."""
        return Share(self.generated, self.scored)


def breakdown(rows: ModelRows) -> dict[str, list[Group]]:
    """Count the images by source, format and size; properties that no image has are omitted."""
    carried = rows.columns("verdicts").get("carried", "")
    url = "coalesce(carried.url, uri)" if '"url"' in carried or "url VARCHAR" in carried else "uri"
    rows.run(f"""
        CREATE TABLE sources AS
        SELECT CASE WHEN archive THEN uri ELSE regexp_extract(uri, '^(.*)/', 1) END AS place, archive, domain,
               count(*) AS images, count(verdict) AS scored, count(*) FILTER (verdict = 'generated') AS generated,
               count(*) FILTER (verdict = 'unsure') AS unsure
        FROM (
            SELECT verdict, CASE WHEN uri LIKE 'http%://%' THEN regexp_extract(uri, '^[^?#]*')
                        ELSE regexp_replace(uri, '^file://', '') END AS uri,
                   "offset" IS NOT NULL OR coalesce(regexp_matches(uri, '{ARCHIVE}', 'i'), false) AS archive,
                   nullif(regexp_extract({url}, '^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/@]*@)?([^/?#]+)', 1), '') AS domain
            FROM current
        )
        GROUP BY ALL
    """)
    [many] = rows.ask(f"SELECT count(DISTINCT place) > {MAX_ARCHIVES} AS so FROM sources WHERE archive")
    folder = "CASE WHEN archive THEN regexp_extract(place, '^(.*)/', 1) ELSE place END" if many["so"] else "place"
    sums = "sum(images) AS images, sum(scored) AS scored, sum(generated) AS generated, sum(unsure) AS unsure"
    narrow = (
        "count(*) AS images, count(verdict) AS scored, count(*) FILTER (verdict = 'generated') AS generated, "
        "count(*) FILTER (verdict = 'unsure') AS unsure"
    )
    sides = " ".join(f"WHEN side < {side} THEN {place}" for place, side in enumerate(SIDES))
    found = {
        "folder or archive": f"SELECT {folder} AS name, {sums} FROM sources GROUP BY 1",
        "domain or bucket": f"SELECT domain AS name, {sums} FROM sources GROUP BY 1",
        "format": f"SELECT format AS name, {narrow} FROM narrow GROUP BY 1",
        "shorter side": f"SELECT CASE {sides} WHEN side IS NOT NULL THEN {len(SIDES)} END::VARCHAR AS name, {narrow} "
        "FROM narrow GROUP BY 1",
    }
    largest = {title: _largest(rows, sql) for title, sql in found.items()}
    largest["shorter side"] = [
        _sized(group) for group in sorted(largest["shorter side"], key=lambda one: (not one.name, one.name))
    ]
    return {title: some for title, some in largest.items() if any(group.name for group in some)}


def _largest(rows: ModelRows, sql: str) -> list[Group]:
    """Return the largest groups, and the sum of the others."""
    found = rows.ask(f"FROM ({sql}) ORDER BY images DESC, name NULLS LAST LIMIT {MAX_GROUPS}")
    [every] = rows.ask(
        f"SELECT count(*) AS groups, {', '.join(f'sum({one}) AS {one}' for one in TALLIES)} FROM ({sql})"
    )
    kept = [Group(row["name"] or "", *(int(row[one]) for one in TALLIES)) for row in found]
    if every["groups"] > len(kept):
        rest = (int(every[one]) - sum(getattr(group, one) for group in kept) for one in TALLIES)
        kept.append(Group(f"{every['groups'] - len(kept):,} others", *rest))
    return kept


def _sized(group: Group) -> Group:
    """Name a size class."""
    if not group.name:
        return group
    place = int(group.name)
    first = f"under {SIDES[0]} px" if place == 0 else f"{SIDES[place - 1]:,} px and more"
    name = first if place in (0, len(SIDES)) else f"{SIDES[place - 1]:,} to {SIDES[place] - 1:,} px"
    return Group(name, group.images, group.scored, group.generated, group.unsure)
