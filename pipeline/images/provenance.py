"""Provenance: what a file declares about where it came from.

Anyone can write such a claim and anyone can strip it, so it stands beside the score and is never part of it.
"""

import re
from collections.abc import Callable
from contextlib import suppress

from pipeline.images.container import blocks
from pipeline.images.metadata import generator, iptc, manifest, text, tiff, xmp
from pipeline.images.metadata.block import MOST_TEXT_BYTES, Block

KEPT = ("software", "camera", "generator", "source_type", "c2pa")
MOST_NAME = 120
"""Characters of a camera's name; a longer text is none."""

MAKE, MODEL, SOFTWARE, COMMENT = 0x010F, 0x0110, 0x0131, 0x9286
NAMING = (0x013B, 0x8298, 0x013C)
"""Artist, copyright, host computer."""
PROCESSING = 0x000B
"""The program that processed: a generator is told, any other is no one's software."""
FREE = (0x010D, 0x010E)
"""Document name, description."""
WINDOWS = (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)
EXIF_WANTED = (MAKE, MODEL, SOFTWARE, COMMENT, *NAMING, PROCESSING, *FREE, *WINDOWS)

IPTC_ROLES = {65: "software", 80: "name", 110: "name", 115: "name", 116: "name", 105: "text", 120: "text", 40: "text"}
"""Originating program; by-line, credit, source, copyright; headline, caption, instructions."""

XMP_ROLES = {
    "xmp:CreatorTool": "software",
    "tiff:Software": "software",
    "tiff:Make": "make",
    "tiff:Model": "model",
    "photoshop:Credit": "name",
    "photoshop:Source": "name",
    "dc:creator": "name",
    "tiff:Artist": "name",
}
XMP_FACTS = {"Iptc4xmpExt:DigitalSourceType": "source_type", "Iptc4xmpExt:AISystemUsed": "generator"}
"""Properties that are facts as they stand; what is named in neither is free text."""

TEXT_ROLES = {"software": "software", "source": "name", "author": "name", "artist": "name", "copyright": "name"}
"""Of the keywords of PNG texts."""

IPTC_TYPE = re.compile(r"\bcv\.iptc\.org/newscodes/digitalsourcetype/(\w{1,60})")
"""IIM has no field for it; some write the address into one that it has."""


def declared(data: bytes, format_: str | None) -> dict[str, str] | None:
    """Read what the file itself says.

    Args:
        data: the whole file, sound or not.
        format_: as `decode` names it.

    Returns:
        Any of `software`, `camera`, `generator`, `source_type`, `c2pa`, each cut to 500 characters; None for none.
    """
    facts = Declaration()
    with suppress(Exception):  # whatever a reader did not foresee costs the rest of the claims, never the image's row
        gather(data, format_, facts)
    return facts.kept()


def gather(data: bytes, format_: str | None, facts: "Declaration") -> None:
    """Read a file's metadata block by block; no bytes are known that make it raise, and the tests ask for more.

    Args:
        data: the whole file.
        format_: as `decode` names it.
        facts: where they are put, so that what came before a failure stays.
    """
    for block in blocks(data, format_):
        if block.kind == "c2pa":
            for name, said in manifest.claims(data, str(format_), block.data).items():
                facts.keep(name, said)
        else:
            READERS[block.kind](block, facts)


class Declaration:
    """The facts of one file, as its blocks tell them one after the other; what was said first stays."""

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}
        self._device: dict[str, str] = {}
        self._generators: list[str] = []

    def keep(self, fact: str, said: str) -> None:
        """Take over a fact, cleaned and cut."""
        value = text.clean(said.rstrip("/").rpartition("/")[2] if fact == "source_type" else said)
        if value and fact == "generator":
            self._generators.append(value)
        elif value:
            self._facts.setdefault(fact, value)

    def take(self, role: str, said: str) -> None:
        """Take what stands in a field.

        Args:
            role: `software`, `program` (only a generator counts), `make`, `model`, `name` (someone's, or a source's),
                `text`, or `text NAME` for a text under a keyword.
            said: the field's text.
        """
        kind, _, name = role.partition(" ")
        address = IPTC_TYPE.search(said[:2000])
        if address:
            self.keep("source_type", address[1])
        settings = generator.in_settings(said, name)
        if settings:
            self.keep("generator", settings)
            return
        match kind:
            case "software" | "program":
                if kind == "software":
                    self.keep("software", said)
                if generator.in_program(said):
                    self.keep("generator", said)
            case "make" | "model":
                self._device.setdefault(kind, said)
            case "name" if generator.in_name(said):
                self.keep("generator", said)
            case "text":
                self.keep("generator", generator.in_phrase(said))

    def settle(self, *, generated: bool = False) -> None:
        """Make one name of the maker and the model that a block told.

        Args:
            generated: whether the block says that they are a generator's; by themselves they are a camera's.
        """
        pieces = [text.clean(self._device.get(kind, "")) for kind in ("make", "model")]
        self._device = {}
        make, model = (piece if len(piece) <= MOST_NAME and "{" not in piece else "" for piece in pieces)
        name = model if model.lower().startswith(make.lower()) else f"{make} {model}"
        self.keep("generator" if generated or generator.in_name(name) else "camera", name)

    def kept(self) -> dict[str, str] | None:
        """Return the facts; of the generators the first, or what says more of that one."""
        if self._generators:
            first = self._generators[0]
            fuller = (later for later in self._generators if later.startswith(first) and later != first)
            self._facts["generator"] = next(fuller, first)
        return {name: self._facts[name] for name in KEPT if name in self._facts} or None


def _exif(block: Block, facts: Declaration) -> None:
    order, values = tiff.fields(block.data, EXIF_WANTED, MOST_TEXT_BYTES)
    software = text.line(values.get(SOFTWARE, b""))
    for role, tag in (("make", MAKE), ("model", MODEL)):
        if tag in values:
            facts.take(role, text.line(values[tag]))
    facts.settle(generated=generator.ai_made(software))
    facts.take("software", software)
    facts.take("text", text.comment(values.get(COMMENT, b""), order))
    for role, tags in (("name", NAMING), ("program", (PROCESSING,)), ("text", FREE)):
        for tag in tags:
            facts.take(role, text.line(values.get(tag, b"")))
    for tag in WINDOWS:
        facts.take("text", text.utf_16(values.get(tag, b"")))


def _xmp(block: Block, facts: Declaration) -> None:
    for name, said in xmp.properties(block.data).items():
        if name in XMP_FACTS:
            facts.keep(XMP_FACTS[name], said)
        else:
            facts.take(XMP_ROLES.get(name, "text"), said)
    facts.settle()


def _iptc(block: Block, facts: Declaration) -> None:
    for number, said in iptc.datasets(block.data):
        facts.take(IPTC_ROLES.get(number, "other"), said)


def _text(block: Block, facts: Declaration) -> None:
    name = block.name.lower()
    facts.take(TEXT_ROLES.get(name, f"text {name}"), block.data.decode("utf-8", "replace"))


READERS: dict[str, Callable[[Block, Declaration], None]] = {"exif": _exif, "xmp": _xmp, "iptc": _iptc, "text": _text}
