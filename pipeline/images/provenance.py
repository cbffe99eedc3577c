"""Provenance: what a file declares about its origin.

Anyone can write or strip such a claim, so it is reported next to the score and never part of it.
"""

import re
from collections.abc import Callable
from contextlib import suppress

from pipeline.images.container import blocks
from pipeline.images.metadata import generator, iptc, manifest, text, tiff, xmp
from pipeline.images.metadata.block import MAX_TEXT_BYTES, Block

FACT_NAMES = ("software", "camera", "generator", "source_type", "c2pa")
MAX_NAME_CHARACTERS = 120
"""Maximum length of a camera's name; a longer text is ignored."""

MAKE, MODEL, SOFTWARE, COMMENT = 0x010F, 0x0110, 0x0131, 0x9286
NAME_TAGS = (0x013B, 0x8298, 0x013C)
"""Artist, copyright, host computer."""
PROCESSING = 0x000B
"""Processing software: only a generator is reported."""
TEXT_TAGS = (0x010D, 0x010E)
"""Document name, description."""
WINDOWS_TAGS = (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)
EXIF_WANTED = (MAKE, MODEL, SOFTWARE, COMMENT, *NAME_TAGS, PROCESSING, *TEXT_TAGS, *WINDOWS_TAGS)

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
"""Properties that are facts themselves; properties in neither mapping are free text."""

TEXT_ROLES = {"software": "software", "source": "name", "author": "name", "artist": "name", "copyright": "name"}
"""Roles of PNG text keywords."""

IPTC_TYPE = re.compile(r"\bcv\.iptc\.org/newscodes/digitalsourcetype/(\w{1,60})")
"""IIM has no field for the source type; some write its URL into another field."""


def declared_provenance(data: bytes, format_: str | None) -> dict[str, str] | None:
    """Read a file's declared provenance.

    Args:
        data: the whole file, possibly damaged.
        format_: as in `Picture.format`.

    Returns:
        Any of `software`, `camera`, `generator`, `source_type`, `c2pa`, each truncated to 500 characters; None if there
        are none.
    """
    facts = Declaration()
    with suppress(Exception):  # an unexpected error loses the rest of the claims, never the image's row
        collect(data, format_, facts)
    return facts.facts()


def collect(data: bytes, format_: str | None, facts: "Declaration") -> None:
    """Read a file's metadata block by block; no bytes are known to make it raise, and fuzz tests look for some.

    Args:
        data: the whole file.
        format_: as in `Picture.format`.
        facts: collects the facts, so that those before a failure are kept.
    """
    for block in blocks(data, format_):
        if block.kind == "c2pa":
            for name, said in manifest.claims(data, str(format_), block.data).items():
                facts.add_fact(name, said)
        else:
            BLOCK_READERS[block.kind](block, facts)


class Declaration:
    """Collects the facts of a file's blocks; the first value of a fact is kept."""

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}
        self._device: dict[str, str] = {}
        self._generators: list[str] = []

    def add_fact(self, fact: str, said: str) -> None:
        """Add a fact, cleaned and truncated."""
        cleaned = text.clean(said.rstrip("/").rpartition("/")[2] if fact == "source_type" else said)
        if cleaned and fact == "generator":
            self._generators.append(cleaned)
        elif cleaned:
            self._facts.setdefault(fact, cleaned)

    def read_role(self, role: str, said: str) -> None:
        """Evaluate the text of a field.

        Args:
            role: `software`, `program` (only a generator counts), `make`, `model`, `name` (a person's or a source's),
                `text`, or `text NAME` for a text with a keyword.
            said: the field's text.
        """
        kind, _, name = role.partition(" ")
        address = IPTC_TYPE.search(said[:2000])
        if address:
            self.add_fact("source_type", address[1])
        settings = generator.from_settings(said, name)
        if settings:
            self.add_fact("generator", settings)
            return
        match kind:
            case "software" | "program":
                if kind == "software":
                    self.add_fact("software", said)
                if generator.is_generator(said):
                    self.add_fact("generator", said)
            case "make" | "model":
                self._device.setdefault(kind, said)
            case "name" if generator.names_generator(said):
                self.add_fact("generator", said)
            case "text":
                self.add_fact("generator", generator.from_phrase(said))

    def add_device(self, *, generated: bool = False) -> None:
        """Combine a block's maker and model into one name.

        Args:
            generated: whether the block declares them as a generator; otherwise they are a camera.
        """
        pieces = [text.clean(self._device.get(kind, "")) for kind in ("make", "model")]
        self._device = {}
        make, model = (piece if len(piece) <= MAX_NAME_CHARACTERS and "{" not in piece else "" for piece in pieces)
        name = model if model.lower().startswith(make.lower()) else f"{make} {model}"
        self.add_fact("generator" if generated or generator.names_generator(name) else "camera", name)

    def facts(self) -> dict[str, str] | None:
        """Return the facts; for the generator the first one, or a longer name of it."""
        if self._generators:
            first = self._generators[0]
            fuller = (later for later in self._generators if later.startswith(first) and later != first)
            self._facts["generator"] = next(fuller, first)
        return {name: self._facts[name] for name in FACT_NAMES if name in self._facts} or None


def _exif(block: Block, facts: Declaration) -> None:
    order, values = tiff.fields(block.data, EXIF_WANTED, MAX_TEXT_BYTES)
    software = text.decode_exif_text(values.get(SOFTWARE, b""))
    for role, tag in (("make", MAKE), ("model", MODEL)):
        if tag in values:
            facts.read_role(role, text.decode_exif_text(values[tag]))
    facts.add_device(generated=generator.says_ai_generated(software))
    facts.read_role("software", software)
    facts.read_role("text", text.decode_user_comment(values.get(COMMENT, b""), order))
    for role, tags in (("name", NAME_TAGS), ("program", (PROCESSING,)), ("text", TEXT_TAGS)):
        for tag in tags:
            facts.read_role(role, text.decode_exif_text(values.get(tag, b"")))
    for tag in WINDOWS_TAGS:
        facts.read_role("text", text.decode_windows_text(values.get(tag, b"")))


def _xmp(block: Block, facts: Declaration) -> None:
    for name, said in xmp.properties(block.data).items():
        if name in XMP_FACTS:
            facts.add_fact(XMP_FACTS[name], said)
        else:
            facts.read_role(XMP_ROLES.get(name, "text"), said)
    facts.add_device()


def _iptc(block: Block, facts: Declaration) -> None:
    for number, said in iptc.datasets(block.data):
        facts.read_role(IPTC_ROLES.get(number, "other"), said)


def _text(block: Block, facts: Declaration) -> None:
    name = block.name.lower()
    facts.read_role(TEXT_ROLES.get(name, f"text {name}"), block.data.decode("utf-8", "replace"))


BLOCK_READERS: dict[str, Callable[[Block, Declaration], None]] = {
    "exif": _exif,
    "xmp": _xmp,
    "iptc": _iptc,
    "text": _text,
}
