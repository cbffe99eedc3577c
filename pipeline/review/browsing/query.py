"""Query: filter and order of images, parsed from a URL's query and converted to SQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from mole.errors import SettingsError
from pipeline.labels import Label
from pipeline.records import Status
from pipeline.review.browsing.snapshot import Row
from pipeline.review.browsing.sql_condition import normalize

VERDICTS = ("generated", "unsure", "real", "none")
DECLARED = ("generated", "camera", "nothing")
LABELLED = ("yes", "no", Label.GENERATED, Label.REAL, Label.UNSURE, Label.NOTE)
FIELDS = {
    "verdict": "Verdict",
    "least": "Probability from",
    "most": "Probability to",
    "source": "Folder or domain",
    "status": "Status",
    "declared": "What the file says about itself",
    "generator": "Generator",
    "labelled": "Label",
    "condition": "Condition in SQL",
    "sort": "Order",
}
"""Names of the fields on the page."""
MAX_LETTERS = 2_000
"""Maximum length of a value."""

SORTS = {
    "suspicious": (
        "most suspicious first",
        "-(coalesce(probability::DOUBLE, -1) + CASE declared WHEN 'generated' THEN 10 ELSE 0 END)",
    ),
    "generated": ("highest probability first", "-coalesce(probability::DOUBLE, -1)"),
    "real": ("lowest probability first", "coalesce(probability::DOUBLE, 2)"),
    "doubtful": ("nearest to a threshold first", "coalesce(doubt::DOUBLE, 1e9)"),
    "newest": ("newest first", "-epoch_us(scanned_at)"),
    "oldest": ("oldest first", "epoch_us(scanned_at)"),
}
"""By name: the title, and the SQL value to sort by. The most suspicious are, as in the report, images whose file
declares them generated, then the others by score."""


@dataclass(frozen=True)
class Part:
    """An SQL condition with the values of its parameters."""

    text: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Query:
    """A query; empty fields do not filter.

    Attributes:
        verdict: some of `VERDICTS`; `none` is an image without a verdict.
        least: the lowest probability.
        most: the highest probability.
        source: prefix of the folder or domain.
        status: one of `Status`.
        declared: one of `DECLARED`: the provenance that the file declares.
        generator: the generator that the file names.
        contradicted: only images whose file contradicts the verdict.
        changed: only images whose verdict differs between the two newest models.
        labelled: one of `LABELLED`.
        condition: an SQL condition on the columns.
        sort: one of `SORTS`.
    """

    verdict: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    source: str = ""
    status: str = ""
    declared: str = ""
    generator: str = ""
    contradicted: bool = False
    changed: bool = False
    labelled: str = ""
    condition: str = ""
    sort: str = "suspicious"

    @classmethod
    def parse(cls, given: QueryParams) -> "Query":
        """Parse the query of a URL.

        Raises:
            SettingsError: a value is invalid.
        """
        if long := next((name for name, value in given.multi_items() if len(value) > MAX_LETTERS), None):
            raise SettingsError(
                f"{FIELDS.get(long, long)} must have at most {MAX_LETTERS:,} characters, got {len(given[long]):,}"
            )
        query = cls(
            tuple(_one_of("verdict", value, VERDICTS) for value in given.getlist("verdict")),
            _share("least", given.get("least", "")),
            _share("most", given.get("most", "")),
            given.get("source", "").strip(),
            _one_of("status", given.get("status", ""), ("", *Status)),
            _one_of("declared", given.get("declared", ""), ("", *DECLARED)),
            given.get("generator", ""),
            bool(given.get("contradicted")),
            bool(given.get("changed")),
            _one_of("labelled", given.get("labelled", ""), ("", *LABELLED)),
            given.get("condition", "").strip(),
            _one_of("sort", given.get("sort", "") or "suspicious", tuple(SORTS)),
        )
        query.parts  # noqa: B018 - a condition that is none is refused here
        return query

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The SQL conditions.

        Raises:
            SettingsError: the user's condition is invalid.
        """
        return (*self._simple(), *self._of_words(), *self._own())

    @property
    def address(self) -> str:
        """The query as a URL's query; empty without filters."""
        given = {
            name: "1" if value is True else value
            for name, value in asdict(self).items()
            if value not in (None, "", ()) and value is not False and (name, value) != ("sort", "suspicious")
        }
        return urlencode(given, doseq=True)

    @property
    def is_open(self) -> bool:
        """Whether it matches every image."""
        return not self.parts

    @property
    def where(self) -> str:
        """The SQL condition."""
        return " AND ".join(f"({part.text})" for part in self.parts) or "true"

    @property
    def values(self) -> tuple[object, ...]:
        """The values of its parameters."""
        return tuple(value for part in self.parts for value in part.values)

    @property
    def rank(self) -> str:
        """The SQL value to sort by."""
        return SORTS[self.sort][1]

    def page(self, size: int, place: Row | None = None, *, back: bool = False) -> tuple[str, list[object]]:
        """Return the SQL of a page of images.

        Args:
            size: maximum number of images.
            place: `rank` and `id` of the image before the page; None for the first page.
            back: return the images before `place` instead, the nearest first.

        Returns:
            The SQL, and the values of its parameters.
        """
        values, beyond = [*self.values], ""
        sign, way = ("<", "DESC") if back else (">", "ASC")
        if place is not None:
            beyond = f"AND ({self.rank} {sign} ? OR {self.rank} = ? AND id {sign} ?)"
            values += [place["rank"], place["rank"], place["id"]]
        order = f"ORDER BY {self.rank} {way}, id {way} LIMIT {size}"
        return f"SELECT id FROM images WHERE {self.where} {beyond} {order}", values

    def _simple(self) -> Sequence[Part]:
        found = []
        if self.verdict:
            named = tuple(verdict for verdict in self.verdict if verdict != "none")
            texts = [f"verdict IN ({', '.join('?' * len(named))})"] if named else []
            texts += ["verdict IS NULL"] if "none" in self.verdict else []
            found.append(Part(" OR ".join(texts), named))
        if self.least is not None:
            found.append(Part("probability >= ?::FLOAT", (self.least,)))
        if self.most is not None:
            found.append(Part("probability <= ?::FLOAT", (self.most,)))
        if self.contradicted:
            found.append(Part("contradicted"))
        if self.changed:
            found.append(Part("id IN (SELECT id FROM changes)"))
        return found

    def _of_words(self) -> Sequence[Part]:
        found = []
        if self.source:
            found.append(Part("starts_with(source, ?)", (self.source,)))
        if self.status:
            found.append(Part("status = ?", (self.status,)))
        if self.declared:
            nothing = self.declared == "nothing"
            found.append(Part("declared IS NULL") if nothing else Part("declared = ?", (self.declared,)))
        if self.generator:
            found.append(Part("generator = ?", (self.generator,)))
        if self.labelled in ("yes", "no"):
            found.append(
                Part(f"id {'NOT ' if self.labelled == 'no' else ''}IN (SELECT id FROM marks WHERE label <> 'note')")
            )
        elif self.labelled:
            found.append(Part("id IN (SELECT id FROM marks WHERE label = ?)", (self.labelled,)))
        return found

    def _own(self) -> Sequence[Part]:
        """Return the user's condition, normalized by DuckDB's parser.

        Raises:
            SettingsError: it is invalid.
        """
        if not self.condition:
            return ()
        return (Part(normalize(self.condition)),)


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Check that a value is one of the known ones.

    Raises:
        SettingsError: it is invalid.
    """
    if value not in known:
        raise SettingsError(f"{FIELDS[name]} must be one of {', '.join(filter(None, known))}, got {value[:80]!r}")
    return value


def _share(name: str, value: str) -> float | None:
    """Parse a probability; None if empty.

    Raises:
        SettingsError: it is not a number from 0 to 1.
    """
    if not value.strip():
        return None
    try:
        number = float(value.replace(",", "."))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise SettingsError(f"{FIELDS[name]} must be a number from 0 to 1, got {value[:80]!r}")
    return number
