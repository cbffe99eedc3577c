"""Provenance: what a file declares about where it came from.

Anyone can write such a claim and anyone can strip it, so it stands beside the score and is never part of it.
"""

import io
import json
import re
import struct
import warnings
from collections.abc import Callable
from html import unescape
from typing import Any

import c2pa
from PIL import ExifTags, Image

from pipeline.container import Block, blocks

MOST_CHARACTERS = 500
MOST_MANIFEST_FILE = 32 << 20
"""To check a manifest hashes the whole file; a larger one is told as present and not read."""

DAMAGED = (ValueError, LookupError, TypeError, ArithmeticError, OSError, SyntaxError, RuntimeError, struct.error)
"""What Pillow's EXIF reader was seen to raise over broken blocks."""

OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""A manifest that lies elsewhere is not fetched: a scan asks no one but its source."""

NAMING = (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software)
TAGS = {
    "CreatorTool": "software",
    "DigitalSourceType": "source_type",
    "Make": "make",
    "Model": "model",
    "Credit": "credit",
}
XMP_FIELD = re.compile(
    r"\b(?:xmp|Iptc4xmpExt|tiff|photoshop):(CreatorTool|DigitalSourceType|Make|Model|Credit)"
    r"\s*(?:=\s*[\"']([^\"'<]{1,600})|>\s*([^<]{1,600})|[^<>]{0,80}rdf:resource=\"([^\"<]{1,600}))"
)
GENERATORS = re.compile(
    r"stable.?diffusion|sdxl|comfyui|invoke.?ai|novelai|automatic1111|midjourney|dall.?e\b|openai|gpt-?4o|chatgpt|firefly"
    r"|imagen|gemini|made with google ai|flux\.?[12]|ideogram|leonardo\.ai|fooocus|sd\.?next|grok|bing image creator",
    re.IGNORECASE,
)
SETTINGS_LINE = re.compile(r"^(Steps: .*)$", re.MULTILINE)
NODE_MODEL = re.compile(r'"(?:ckpt_name|unet_name|model_name)"\s*:\s*"([^"]{1,200})"')

KEPT = ("software", "camera", "generator", "source_type", "c2pa")
Facts = dict[str, str]


def declared(data: bytes, format_: str | None) -> dict[str, str] | None:
    """Read what the file itself says.

    Args:
        data: the whole file, sound or not.
        format_: as `decode` names it.

    Returns:
        Any of `software`, `camera`, `generator`, `source_type`, `c2pa`, each cut to 500 characters; None for none.
    """
    facts: Facts = {}
    signed = False
    for block in blocks(data, format_):
        if block.kind == "c2pa":
            signed = True
        else:
            _add(facts, READERS[block.kind](block))
    if signed:
        _add(facts, _manifest(data, str(format_)))
    _add(facts, _generator(facts))
    facts = {name: text for name, text in facts.items() if name in KEPT}
    return facts or None


def _add(facts: Facts, found: Facts) -> None:
    """Take over what is new, cleaned and cut; what an earlier block said stays."""
    for name, text in found.items():
        clean = " ".join(text.replace("\0", " ").split())[:MOST_CHARACTERS]
        if clean:
            facts.setdefault(name, clean)


def _generator(facts: Facts) -> Facts:
    """Repeat as generator what names one in another field."""
    named = (facts.get(name, "") for name in ("software", "credit", "c2pa"))
    return next(({"generator": text} for text in named if GENERATORS.search(text)), {})


def _camera(make: str, model: str) -> str:
    return model if model.lower().startswith(make.lower()) else f"{make} {model}"


def _exif(block: Block) -> Facts:
    exif = Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"):
            exif.load(block.data)
            make, model, software = (str(exif.get(tag, "")).strip("\0 ") for tag in NAMING)
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    except DAMAGED:
        return {}
    facts = {"software": software, "camera": _camera(make, model)}
    return facts | (_parameters(_comment(comment)) if isinstance(comment, bytes) else {})


def _comment(comment: bytes) -> str:
    """Read an EXIF UserComment, whose first eight bytes name its character set."""
    if not comment.startswith(b"UNICODE\0"):
        return comment[8:].decode("utf-8", "replace")
    return comment[8:].decode("utf-16-le" if comment[9:10] == b"\0" else "utf-16-be", "replace")


def _xmp(block: Block) -> Facts:
    text = block.data.decode("utf-8", "replace")
    found: Facts = {}
    for field, *values in XMP_FIELD.findall(text):
        _add(found, {TAGS[field]: unescape("".join(values))})
    camera = _camera(found.pop("make", ""), found.pop("model", ""))
    return found | {"camera": camera, "source_type": found.get("source_type", "").rpartition("/")[2]}


def _parameters(text: str) -> Facts:
    """Find the settings line of the Stable Diffusion web UIs: it names the model, the prompt before it does not."""
    settings = SETTINGS_LINE.search(text)
    return {"generator": settings[1]} if settings else {}


def _text(block: Block) -> Facts:
    text = block.data.decode("utf-8", "replace")
    match block.name:
        case "Software":
            return {"software": text}
        case "parameters":
            return _parameters(text) or {"generator": text}
        case "prompt" | "workflow":
            models = ", ".join(dict.fromkeys(NODE_MODEL.findall(text)))
            return {"generator": f"ComfyUI {models}"}
        case "invokeai_metadata" | "sd-metadata" | "Dream":
            return {"generator": f"InvokeAI {text}"}
        case "Description" | "Comment" if "Job ID:" in text:
            return {"generator": f"Midjourney {text}"}
    return {}


READERS: dict[str, Callable[[Block], Facts]] = {"exif": _exif, "xmp": _xmp, "text": _text}


def _manifest(data: bytes, format_: str) -> Facts:
    """Read the active C2PA manifest: who claims, who signed, whether the signature holds for these bytes."""
    if len(data) > MOST_MANIFEST_FILE:
        return {"c2pa": "present, not read: the file is too large"}
    try:
        with (
            c2pa.Context.from_dict(OFFLINE) as context,
            c2pa.Reader(f"image/{format_}", io.BytesIO(data), context=context) as reader,
        ):
            return _claims(json.loads(reader.json()))
    except (c2pa.C2paError, AttributeError, *DAMAGED) as reason:
        return {"c2pa": f"unreadable: {reason}"}


def _claims(store: dict[str, Any]) -> Facts:
    manifest = store["manifests"][store["active_manifest"]]
    makers = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator", "unnamed")}]
    maker = " ".join(str(makers[0].get(name, "")) for name in ("name", "version")).strip()
    issuer = manifest.get("signature_info", {}).get("issuer", "no one")
    actions = (
        action
        for assertion in manifest.get("assertions", ())
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    )
    kinds = (str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action)
    return {
        "c2pa": f"{maker}; signed by {issuer}; {store.get('validation_state', 'unchecked')}",
        "source_type": next(kinds, "").rpartition("/")[2],
    }
