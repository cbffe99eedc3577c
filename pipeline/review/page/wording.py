"""Wording: formats numbers, statuses, locations and names for the report."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

from pipeline.records import Status
from pipeline.review.analysis import suspicious
from pipeline.storage import storage
from pipeline.storage.retry import is_web
from pipeline.telemetry.printable import printable
from pipeline.telemetry.redaction import HIDDEN, redacted

MAX_NAME, MAX_TEXT = 120, 300
MAX_DECIMALS = 6
UNIT = "\N{NO-BREAK SPACE}%"
CREDENTIAL_WORDS = "sig|signature|token|secret|password|key|credential|auth"
SECRET = re.compile(rf"(^|[-_])({CREDENTIAL_WORDS})", re.IGNORECASE)
"""Query fields that grant access, such as those of signed URLs."""

LIKELIHOODS = (
    (0.9, "very likely generated"),
    (0.66, "likely generated"),
    (0.33, "as likely generated as not"),
    (0.1, "rather not generated"),
    (0.0, "very likely not generated"),
)
"""Descriptions by minimum probability; none claims certainty."""

ADVICE: dict[str, str] = {
    Status.EMPTY: "The file has no bytes: fetch it again from where it came.",
    Status.NOT_AN_IMAGE: "The bytes are something else, often an error page that was saved: fetch it again.",
    Status.TRUNCATED: "The file is truncated or damaged: fetch it again; the remaining part was not scored.",
    Status.UNSUPPORTED: "No decoder here reads this kind: convert the file, to PNG for example, and scan the copy.",
    Status.TOO_LARGE: "It is over a bound that protects the scan: raise --max-bytes or --max-pixels, or shrink a copy.",
    Status.TOO_SMALL: "So few pixels tell nothing: look for a larger version, or lower --min-side.",
    Status.MISSING: "It does not exist any more: correct the list of sources, or omit it.",
    Status.FORBIDDEN: "The store or server refuses: give the scan the right to read it, then rescan these images.",
    Status.UNREACHABLE: "The store or server did not answer: rescan these images later.",
    Status.TORN_ARCHIVE: "The archive is damaged here: fetch it again; the images before and after it were scored.",
    Status.CRASHED: "Decoding it crashed, which a hostile file may do on purpose: handle it with care.",
}
"""Advice for each status."""


def percent(share: float) -> str:
    """Format a share: `21 %`, `7.4 %`, `0.92 %`, and `under 0.01 %` instead of rounding to zero."""
    value = 100 * share
    if 0 < value < 0.01:
        return f"under 0.01{UNIT}"
    if 99.9 < value < 100:
        return f"over 99.9{UNIT}"
    return f"{value:.{_digits(value)}f}{UNIT}"


def _digits(value: float) -> int:
    """Choose the number of decimals of a percentage."""
    return 0 if value in (0, 100) or 10 <= value <= 90 else 2 if value < 1 else 1


@dataclass(frozen=True)
class Limit:
    """A threshold as a formatted probability: `85.76 %`.

    Attributes:
        exact: the probability from which on the higher verdict applies.
        digits: decimals of the percentage; None for those of `percent`.
    """

    exact: float
    digits: int | None = None

    @classmethod
    def beside(cls, exact: float, shown: Iterable[float]) -> Self:
        """Choose the fewest decimals with which no displayed probability below the limit is shown at or above it."""
        near = [one for one in shown if one < exact and _written(one) >= _written(exact)]
        parted = (
            digits
            for digits in range(1, MAX_DECIMALS)
            if all(round(100 * one, digits) < round(100 * exact, digits) < 100 for one in near)
        )
        return cls(exact, next(parted, MAX_DECIMALS) if near else None)

    def __str__(self) -> str:
        """Format it."""
        return self.written(self.exact)

    def near(self, probability: float) -> bool:
        """Return whether a probability needs the limit's decimals."""
        return self.digits is not None and _written(probability) == _written(self.exact)

    def written(self, probability: float) -> str:
        """Format a probability with the limit's decimals."""
        text = "" if self.digits is None else f"{100 * probability:.{self.digits}f}"
        return f"{text}{UNIT}" if text and 0 < float(text) < 100 else percent(probability)


def _written(share: float) -> float:
    """Return the number that `percent` displays."""
    return float(re.sub(r"[^\d.]", "", percent(share)))


def chance(probability: float, limits: Sequence[Limit] = ()) -> str:
    """Format a score's probability as a percentage, never as 0 or 100 %.

    Args:
        probability: from 0 to 1.
        limits: near these, their decimals are used.
    """
    near = next((limit for limit in limits if limit.near(probability)), None)
    return near.written(probability) if near else percent(min(max(probability, 1e-6), 1 - 1e-6))


def interval(ends: tuple[float, float]) -> str:
    """Format an interval: `16 to 28 %`."""
    low, high = percent(ends[0]), percent(ends[1])
    return f"{low.removesuffix(UNIT)} to {high}" if low[0].isdigit() else f"{low} to {high}"


def likelihood(probability: float) -> str:
    """Describe a probability."""
    return next(words for bound, words in LIKELIHOODS if probability >= bound)


def plain(text: str, max_length: int = MAX_TEXT) -> str:
    """Sanitize an external text: one line, without control or direction characters, truncated."""
    shown = printable(text)
    return shown if len(shown) <= max_length else f"{shown[: max_length - 1]}…"


def short(text: str, max_length: int = MAX_NAME) -> str:
    """Sanitize an external name; a long one is shortened in the middle."""
    shown, tail = plain(text, max(max_length, len(text) * 10)), max_length // 3
    return shown if len(shown) <= max_length else f"{shown[: max_length - tail - 1]}…{shown[-tail:]}"


def name(row: dict[str, Any]) -> str:
    """Return an image's name: the last component of its key or URL."""
    text = redacted(row["key"] or storage.without_query(row["uri"] or ""))
    return short(text.rstrip("/").rpartition("/")[2] or text or "without a name")


def inside(row: dict[str, Any]) -> str:
    """Return the name of an image's archive or folder; empty if unknown."""
    around = (row["uri"] or "") if row["offset"] is not None else (row["uri"] or "").rpartition("/")[0]
    return short(address(storage.without_query(around)).rpartition("/")[2], MAX_NAME // 2)


def place(row: dict[str, Any]) -> str:
    """Return an image's location: its URL, or the archive's with the member's name."""
    uri = address(row["uri"] or "its source named no place")
    return uri if row["offset"] is None else f"{uri} › {short(row['key'] or '')}"


def address(uri: str) -> str:
    """Return a URL for display, without credentials."""
    return short(redacted(uri).replace(f"{HIDDEN}@", ""), MAX_TEXT)


def link(uri: str | None) -> str | None:
    """Return the URL that a browser may open: of a local file or a web server, else None."""
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
    """Return a web URL without user, and without a query that grants access."""
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
    """List the facts that a file declares, with their names."""
    titles = {
        "generator": "generator",
        "source_type": "source type",
        "camera": "camera",
        "software": "software",
        "c2pa": "content credentials",
    }
    text = provenance or {}
    return [(title, plain(suspicious.short(str(text[fact])))) for fact, title in titles.items() if text.get(fact)]
