"""XMP: reads properties of an XMP packet, independent of prefixes, quotes and encoding.

Expat parses it as a stream: no tree is built, a DOCTYPE ends parsing (so no entity is expanded), and of a truncated or
damaged packet the properties before the damage are kept.
"""

import re
from contextlib import suppress
from xml.parsers import expat

from pipeline.images.metadata.text import decode_text

MAX_VALUE_CHARACTERS = 1 << 16
MAX_ELEMENTS = 50_000
MAX_DEPTH = 100
MAX_PREFIXES = 1_000

NAMESPACES = {
    "http://ns.adobe.com/xap/1.0": "xmp",
    "http://ns.adobe.com/tiff/1.0": "tiff",
    "http://ns.adobe.com/exif/1.0": "exif",
    "http://ns.adobe.com/photoshop/1.0": "photoshop",
    "http://purl.org/dc/elements/1.1": "dc",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns": "rdf",
    "http://iptc.org/std/iptc4xmpext": "Iptc4xmpExt",
    "http://www.tc260.org.cn/ns/aigc/1.0": "TC260",
}
"""Canonical prefixes of namespaces; the date at the end of IPTC's namespace is ignored."""

NAMESPACE_DATE = re.compile(r"(?<=/iptc4xmpext)/\d{4}-\d\d-\d\d$")

INVALID_CHARACTERS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML does not allow; some packets are padded with them."""

PROPERTIES = frozenset(
    {
        *("xmp:CreatorTool", "tiff:Software", "tiff:Make", "tiff:Model", "tiff:Artist", "tiff:ImageDescription"),
        *("exif:UserComment", "photoshop:Credit", "photoshop:Source", "dc:creator", "dc:description", "dc:title"),
        *("Iptc4xmpExt:DigitalSourceType", "Iptc4xmpExt:AISystemUsed", "TC260:AIGC"),
    }
)


def properties(packet: bytes) -> dict[str, str]:
    """Read the properties on an image's origin.

    Args:
        packet: RDF as XML, in UTF-8, UTF-16 or UTF-32.

    Returns:
        The first value of each of PROPERTIES that is present.
    """
    text = INVALID_CHARACTERS.sub("", decode_text(packet))
    reader = _Reader()
    with suppress(expat.ExpatError, _NoXmpError):  # the properties before the damage are kept
        reader.parser.Parse(text[max(0, text.find("<")) :].encode("utf-8", "replace"), True)
    return reader.found


class _NoXmpError(Exception):
    """A packet has a document type, or is too large or deep for XMP."""


class _Reader:
    """Collects the requested properties; of a list or an alternative, the first entry."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._prefixes: dict[str, str] = {}
        self._depth = self._elements = 0
        self._inside: tuple[str, int] | None = None
        self._text_parts: list[str] = []
        self._remaining = MAX_VALUE_CHARACTERS

    def _keep(self, name: str, value: str) -> None:
        if value.strip():
            self.found.setdefault(name, value.strip())

    def _known(self, name: str) -> str:
        prefix, _, local = name.rpartition(":")
        return f"{self._prefixes.get(prefix, prefix)}:{local}"

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS or len(self._prefixes) > MAX_PREFIXES:
            raise _NoXmpError
        for attribute, value in attributes.items():
            if attribute.startswith("xmlns"):
                address = NAMESPACE_DATE.sub("", value[:200].rstrip("/#").lower())
                self._prefixes[attribute[6:]] = NAMESPACES.get(address, "")
        element = self._known(name)
        if self._inside is None and element in PROPERTIES:
            self._inside, self._text_parts, self._remaining = (element, self._depth), [], MAX_VALUE_CHARACTERS
        for attribute, value in attributes.items():
            known = self._known(attribute)
            if known in PROPERTIES:
                self._keep(known, value[:MAX_VALUE_CHARACTERS])
            elif known == "rdf:resource" and self._inside is not None:
                self._keep(self._inside[0], value[:MAX_VALUE_CHARACTERS])

    def _characters(self, text: str) -> None:
        if self._inside is not None and self._remaining > 0:
            self._text_parts.append(text[: self._remaining])
            self._remaining -= len(text)

    def _end(self, name: str) -> None:
        if self._inside is not None:
            if self._inside[1] == self._depth:
                self._keep(self._inside[0], "".join(self._text_parts))
                self._inside = None
            elif self._known(name) == "rdf:li" and "".join(self._text_parts).strip():
                self._remaining = 0  # the first entry of a list
        self._depth -= 1

    def _doctype(self, *_: object) -> None:
        raise _NoXmpError
