"""Words: what a page says of a number, a status, a place and a name, for anybody to read, and whatever they hold."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

from pipeline.records import Status
from pipeline.review.evidence import suspicious
from pipeline.storage import storage
from pipeline.storage.retry import is_web
from pipeline.telemetry.printable import printable
from pipeline.telemetry.redaction import HIDDEN, redacted

MOST_NAME, MOST_TEXT = 120, 300
MOST_DIGITS = 6
UNIT = "\N{NO-BREAK SPACE}%"
RIGHTS = "sig|signature|token|secret|password|key|credential|auth"
SECRET = re.compile(rf"(^|[-_])({RIGHTS})", re.IGNORECASE)
"""Names in a query that give rights to who has the address, as signed addresses of stores do."""

LIKELIHOODS = (
    (0.9, "very likely generated"),
    (0.66, "likely generated"),
    (0.33, "as likely generated as not"),
    (0.1, "rather not generated"),
    (0.0, "very likely not generated"),
)
"""From which probability on which words; none says that anything is certain."""

ADVICE: dict[str, str] = {
    Status.EMPTY: "The file has no bytes: fetch it again from where it came.",
    Status.NOT_AN_IMAGE: "The bytes are something else, often an error page that was saved: fetch it again.",
    Status.TRUNCATED: "The file is cut or damaged: fetch it again; the part that is there was not judged.",
    Status.UNSUPPORTED: "No decoder here reads this kind: convert the file, to PNG for example, and scan the copy.",
    Status.TOO_LARGE: "It is over a bound that protects the scan: raise --max-bytes or --max-pixels, or shrink a copy.",
    Status.TOO_SMALL: "So few pixels tell nothing: look for a larger version, or lower --min-side.",
    Status.MISSING: "Nothing is there any more: correct the list of sources, or leave it out.",
    Status.FORBIDDEN: "The store or server refuses: give the scan the right to read it, then rescan these images.",
    Status.UNREACHABLE: "The store or server did not answer: rescan these images later.",
    Status.TORN_ARCHIVE: "The archive is damaged here: fetch it again; the images before and behind were judged.",
    Status.CRASHED: "Decoding it ended its process, which a hostile file may do on purpose: look at it with care.",
}
"""What to do about each kind of fault."""


def percent(share: float) -> str:
    """Write a share: `21 %`, `7.4 %`, `0.92 %`, and `under 0.01 %` for what would round to nothing."""
    value = 100 * share
    if 0 < value < 0.01:
        return f"under 0.01{UNIT}"
    if 99.9 < value < 100:
        return f"over 99.9{UNIT}"
    return f"{value:.{_digits(value)}f}{UNIT}"


def _digits(value: float) -> int:
    """Choose how many digits behind the point tell something of a number of hundredths."""
    return 0 if value in (0, 100) or 10 <= value <= 90 else 2 if value < 1 else 1


@dataclass(frozen=True)
class Limit:
    """A probability where the verdict changes, as it is written: `85.76 %`.

    Attributes:
        exact: the probability, from which on the higher verdict is given.
        digits: behind the point, of hundredths; None if `percent` says enough.
    """

    exact: float
    digits: int | None = None

    @classmethod
    def beside(cls, exact: float, shown: Iterable[float]) -> Self:
        """Choose the fewest digits at which no probability shown below the limit seems to be at it or above."""
        near = [one for one in shown if one < exact and _written(one) >= _written(exact)]
        parted = (
            digits
            for digits in range(1, MOST_DIGITS)
            if all(round(100 * one, digits) < round(100 * exact, digits) < 100 for one in near)
        )
        return cls(exact, next(parted, MOST_DIGITS) if near else None)

    def __str__(self) -> str:
        """Write it."""
        return self.written(self.exact)

    def near(self, probability: float) -> bool:
        """Return whether a probability must be written with the digits of the limit."""
        return self.digits is not None and _written(probability) == _written(self.exact)

    def written(self, probability: float) -> str:
        """Write a probability with the digits of the limit."""
        told = "" if self.digits is None else f"{100 * probability:.{self.digits}f}"
        return f"{told}{UNIT}" if told and 0 < float(told) < 100 else percent(probability)


def _written(share: float) -> float:
    """Return the number of hundredths that `percent` writes."""
    return float(re.sub(r"[^\d.]", "", percent(share)))


def chance(probability: float, limits: Sequence[Limit] = ()) -> str:
    """Write a probability as a share; a score never makes it certain.

    Args:
        probability: from 0 to 1.
        limits: near which it has as many digits as they have.
    """
    near = next((limit for limit in limits if limit.near(probability)), None)
    return near.written(probability) if near else percent(min(max(probability, 1e-6), 1 - 1e-6))


def interval(ends: tuple[float, float]) -> str:
    """Write both ends of an interval: `16 to 28 %`."""
    low, high = percent(ends[0]), percent(ends[1])
    return f"{low.removesuffix(UNIT)} to {high}" if low[0].isdigit() else f"{low} to {high}"


def likelihood(probability: float) -> str:
    """Say how likely something is."""
    return next(words for bound, words in LIKELIHOODS if probability >= bound)


def plain(text: str, most: int = MOST_TEXT) -> str:
    """Write a text from outside in one line, without marks that turn its direction or hide, and not too long."""
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def short(text: str, most: int = MOST_NAME) -> str:
    """Write a name from outside as `plain` does; of a long one both ends stay."""
    shown, tail = plain(text, max(most, len(text) * 10)), most // 3
    return shown if len(shown) <= most else f"{shown[: most - tail - 1]}…{shown[-tail:]}"


def name(row: dict[str, Any]) -> str:
    """Name an image: the last part of what its source calls it, or else of its address."""
    told = redacted(row["key"] or storage.file_name(row["uri"] or ""))
    return short(told.rstrip("/").rpartition("/")[2] or told or "without a name")


def inside(row: dict[str, Any]) -> str:
    """Name the archive or the folder that an image lies in; empty if its source named no place."""
    around = (row["uri"] or "") if row["offset"] is not None else (row["uri"] or "").rpartition("/")[0]
    return short(address(storage.file_name(around)).rpartition("/")[2], MOST_NAME // 2)


def place(row: dict[str, Any]) -> str:
    """Write where an image lies: its address, or the archive's and its name there."""
    uri = address(row["uri"] or "its source named no place")
    return uri if row["offset"] is None else f"{uri} › {short(row['key'] or '')}"


def address(uri: str) -> str:
    """Write a place for people, without the rights that it may carry."""
    return short(redacted(uri).replace(f"{HIDDEN}@", ""), MOST_TEXT)


def link(uri: str | None) -> str | None:
    """Return the address that a browser may open for a place: of a file of this machine or of a web server, else None."""
    if not uri:
        return None
    if is_web(uri):
        return _web(uri)
    if "://" in uri and not uri.lower().startswith("file://"):
        return None
    if not storage.is_local(uri):
        return None
    path = storage.filesystem(uri)[1]
    return "file://" + quote(path.encode("utf-8", "surrogateescape"))


def _web(uri: str) -> str | None:
    """Write a web address without its user, and without what a query has that gives rights."""
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return None
    if not host or parts.scheme.lower() not in ("http", "https"):
        return None
    names = [pair.partition("=")[0] for pair in parts.query.split("&")]
    query = "" if any(SECRET.search(one) for one in names) else parts.query
    tail = f"?{quote(query, safe='=&%+,:;@/?~!$()*')}" if query else ""
    return f"{parts.scheme.lower()}://{quote(host, safe=':[]%.-')}{quote(parts.path, safe='/%:@,;=+~!$&()*')}{tail}"


def declarations(provenance: dict[str, str | None] | None) -> list[tuple[str, str]]:
    """List what a file declares about itself, each fact under its name."""
    titles = {
        "generator": "generator",
        "source_type": "source type",
        "camera": "camera",
        "software": "software",
        "c2pa": "content credentials",
    }
    told = provenance or {}
    return [(title, plain(suspicious.short(str(told[fact])))) for fact, title in titles.items() if told.get(fact)]
