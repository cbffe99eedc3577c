"""The query: which images are looked at and in which order, as an address holds it and as SQL asks it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from mole.errors import SettingsError
from pipeline.labels import Label
from pipeline.records import Status
from pipeline.review.browsing.condition import parsed
from pipeline.review.browsing.snapshot import Row

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
"""What the page calls each."""
LONGEST = 2_000
"""Characters of one value."""

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
"""By name: the words, and the value that grows along the order. Most suspicious are, as in the report, those whose file
says that it was generated, then the others by their scores."""


@dataclass(frozen=True)
class Part:
    """A condition of SQL with the values of its parameters."""

    text: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Query:
    """What is asked; what is empty leaves every image in.

    Attributes:
        verdict: some of `VERDICTS`; none is an image that got no verdict.
        least: the lowest probability.
        most: the highest probability.
        source: how the folder or domain begins.
        status: one of `Status`.
        declared: one of `DECLARED`: what the file says about itself.
        generator: the generator that the file names.
        contradicted: only images whose file says otherwise than the verdict.
        changed: only images that the newest model called other than the one before it.
        labelled: one of `LABELLED`.
        condition: SQL on the columns.
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
    def asked(cls, given: QueryParams) -> "Query":
        """Read the query out of an address.

        Raises:
            SettingsError: a value in it is none that there is.
        """
        if long := next((name for name, value in given.multi_items() if len(value) > LONGEST), None):
            raise SettingsError(
                f"{FIELDS.get(long, long)} must have at most {LONGEST:,} characters, got {len(given[long]):,}"
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
        """Its conditions in SQL.

        Raises:
            SettingsError: the user's is none.
        """
        return (*self._simple(), *self._of_words(), *self._own())

    @property
    def address(self) -> str:
        """Write it as the query of an address; empty if nothing is asked."""
        given = {
            name: "1" if value is True else value
            for name, value in asdict(self).items()
            if value not in (None, "", ()) and value is not False and (name, value) != ("sort", "suspicious")
        }
        return urlencode(given, doseq=True)

    @property
    def is_open(self) -> bool:
        """Whether it leaves every image in."""
        return not self.parts

    @property
    def where(self) -> str:
        """The condition in SQL."""
        return " AND ".join(f"({part.text})" for part in self.parts) or "true"

    @property
    def values(self) -> tuple[object, ...]:
        """The values of its parameters."""
        return tuple(value for part in self.parts for value in part.values)

    @property
    def rank(self) -> str:
        """The SQL value that grows along the order."""
        return SORTS[self.sort][1]

    def page(self, size: int, place: Row | None = None, *, back: bool = False) -> tuple[str, list[object]]:
        """Write the SQL that reads some images in the order asked for.

        Args:
            size: so many at most.
            place: `rank` and `id` of the image behind which they stand; None begins at the front.
            back: those before it instead, the nearest first.

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
        """Read the user's condition: one expression, which DuckDB's own parser wrote down again.

        Raises:
            SettingsError: it is none.
        """
        if not self.condition:
            return ()
        return (Part(parsed(self.condition)),)


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    """Require a value that there is.

    Raises:
        SettingsError: it is none.
    """
    if value not in known:
        raise SettingsError(f"{FIELDS[name]} must be one of {', '.join(filter(None, known))}, got {value[:80]!r}")
    return value


def _share(name: str, value: str) -> float | None:
    """Read a probability; empty is none.

    Raises:
        SettingsError: it is no number from 0 to 1.
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
