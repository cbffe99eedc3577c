"""Manifest: reads the claims of a C2PA manifest store and verifies its signature.

Nothing is fetched, and the cost of a store is bounded: its size, and how often the file is read.
"""

import io
import json
from typing import Any

import c2pa

from pipeline.images.metadata import boxes, generator

MAX_FILE_BYTES = 32 << 20
"""Maximum file size, since verification hashes the whole file; for a larger one the manifest is reported as present."""

MAX_PARSED_BYTES = 1 << 19
"""Maximum bytes of CBOR and JSON in a store, for which the library takes up to 50 times their size in memory."""

MAX_BOXES = 20_000

MAX_READS = 3
"""Maximum number of times that the file's size may be read; valid manifests took up to 2."""

MAX_CALLS = 40_000
"""Maximum number of read calls; valid manifests took 1,000 per MiB."""

OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""A remote manifest is not fetched: a scan accesses only its source."""

NOT_READ = "present, not read: {}; signature not checked"
BROKEN = "unreadable: the manifest is damaged or of an unknown kind; signature not checked"
LIBRARY_ERRORS = (c2pa.C2paError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""Exceptions of the library for damaged stores, and of missing fields in its result."""

REASONS = (
    ("claimSignature.", "the signature does not fit the claim"),
    ("hashedURI.mismatch", "what is claimed was changed after signing"),
    ("Hash.mismatch", "the image was changed after signing"),
    ("signingCredential.expired", "the signer's certificate has expired"),
    ("signingCredential.ocsp.revoked", "the signer's certificate is revoked"),
    ("signingCredential.invalid", "the signer's certificate is unsound"),
    ("timeStamp.", "the time stamp does not hold"),
)
"""Messages of failed checks by code prefix, the most important first; an unknown signer is not a failure."""


class _BoundedFile(io.BytesIO):
    """A file with a limited amount of reads and calls.

    Attributes:
        refused: whether the limit was exceeded.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.refused = False
        self._left = MAX_READS * len(data) + (1 << 20)
        self._calls = MAX_CALLS

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, within the limit; raises OSError beyond it."""
        got = super().readinto(buffer)
        self._spend(got)
        return got

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a byte, within the limit; raises OSError beyond it."""
        self._spend(0)
        return super().seek(offset, whence)

    def _spend(self, got: int) -> None:
        self._left -= got
        self._calls -= 1
        self.refused = self._left < 0 or self._calls < 0
        if self.refused:
            raise OSError(f"more than {MAX_READS} times over, or {MAX_CALLS:,} calls")


def claims(data: bytes, format_: str, store: bytes) -> dict[str, str]:
    """Read the active manifest: claim generator, signer, and validity for these bytes.

    Args:
        data: the whole file.
        format_: as in `Picture.format`.
        store: the extracted manifest store; empty if it was not extracted.

    Returns:
        `c2pa` always; `source_type` and `generator` if the manifest declares them.
    """
    if not store:
        return {"c2pa": NOT_READ.format("the manifest is damaged or too large")}
    if len(data) > MAX_FILE_BYTES:
        return {"c2pa": NOT_READ.format("the file is too large")}
    if _parsed_bytes(store) > MAX_PARSED_BYTES:
        return {"c2pa": NOT_READ.format("it states too much")}
    file = _BoundedFile(data)
    try:
        with (
            c2pa.Context.from_dict(OFFLINE) as context,
            c2pa.Reader(f"image/{format_}", file, manifest_data=store, context=context) as reader,
        ):
            found = _claims_of(json.loads(reader.json()))
    except LIBRARY_ERRORS:
        return {"c2pa": BROKEN}
    return {"c2pa": NOT_READ.format("to check it takes too much work")} if file.refused else found


def _parsed_bytes(store: bytes) -> int:
    """Return the number of bytes of a store that the library will parse; all if it has too many boxes."""
    spans, count, size = [(0, len(store))], 0, 0
    while spans:
        for box in boxes.walk(store, *spans.pop()):
            count += 1
            if count > MAX_BOXES:
                return MAX_PARSED_BYTES + 1
            if box.kind == b"jumb":
                spans.append((box.body, box.end))
            elif box.kind in (b"cbor", b"json"):
                size += box.end - box.body
    return size


def _claims_of(store: dict[str, Any]) -> dict[str, str]:
    manifest = store["manifests"][store["active_manifest"]]
    makers = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator", "unnamed")}]
    maker = " ".join(str(makers[0].get(name, "")) for name in ("name", "version")).strip()
    issuer = str((manifest.get("signature_info") or {}).get("issuer", "no one"))
    kind, made_by = _source_of(manifest)
    return {
        "c2pa": f"{maker}; signed by {issuer}; {_state(store)}",
        "source_type": kind,
        "generator": made_by or (maker if generator.is_generator(maker) else ""),
    }


def _source_of(manifest: dict[str, Any]) -> tuple[str, str]:
    """Return the digital source type, and the software of the action that declares it."""
    actions = [
        action
        for assertion in manifest.get("assertions", ())
        if str(assertion.get("label")).startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    kind = next((str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action), "")
    for action in actions:
        own = str(action.get("digitalSourceType", "")).lower()
        agent = action.get("softwareAgent") or ""
        name = str(agent.get("name", "")) if isinstance(agent, dict) else str(agent)
        named = name or str(action.get("description", ""))
        entire = own.rpartition("/")[2] == "trainedalgorithmicmedia"
        if "trainedalgorithmic" in own and ((entire and name) or generator.is_generator(named)):
            return kind, named
    return kind, ""


def _state(store: dict[str, Any]) -> str:
    """Return the validation state: `Valid`, `Trusted`, or `Invalid` with the reason."""
    state = str(store.get("validation_state", "unchecked"))
    if state != "Invalid":
        return state
    results = (store.get("validation_results") or {}).get("activeManifest") or {}
    codes = [str(failed.get("code")) for failed in results.get("failure") or store.get("validation_status") or ()]
    return "Invalid: " + next((words for code, words in REASONS if any(code in one for one in codes)), "a check failed")
