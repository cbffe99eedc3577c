"""Laws of manifest: what a store claims is told in plain words, and no store makes its reader work without end."""

import socket
from typing import Any

import c2pa
import pytest

from pipeline.images.container import blocks
from pipeline.images.metadata.manifest import MAX_FILE_BYTES, MAX_PARSED_BYTES, MAX_READS, claims
from pipeline.images.provenance import declared_provenance
from tests.declaring import GENERATED, box, chunk, png, saved
from tests.signing import CREATED, signed


def store_of(data: bytes, format_: str) -> bytes:
    return next(block.data for block in blocks(data, format_) if block.kind == "c2pa")


def told(data: bytes, format_: str = "png") -> dict[str, str]:
    return {name: said for name, said in claims(data, format_, store_of(data, format_)).items() if said}


def actions(*said: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"label": "c2pa.actions", "data": {"actions": list(said)}}]


def superbox(kind: bytes, label: bytes, *bodies: bytes) -> bytes:
    uuid = kind + bytes.fromhex("00110010800000aa00389b71")
    return box(b"jumb", box(b"jumd", uuid, b"\3", label, b"\0"), *bodies)


@pytest.mark.parametrize("format_", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
def test_who_claims_who_signed_and_that_it_holds_is_told(signer: c2pa.Signer, format_: str) -> None:
    data = signed(signer, format_)
    assert told(data, format_) == {
        "c2pa": "tiny painter 1.0; signed by Some Studio; Valid",
        "source_type": GENERATED,
    }


def test_an_image_changed_after_signing_is_invalid_and_why_is_told(signer: c2pa.Signer) -> None:
    data = bytearray(signed(signer, "jpeg"))
    data[-20] ^= 0xFF
    assert told(bytes(data), "jpeg")["c2pa"].endswith("; Invalid: the image was changed after signing")


def test_a_signature_of_another_claim_is_invalid_and_why_is_told(signer: c2pa.Signer) -> None:
    data = signed(signer, "png")
    altered = data.replace(b"tiny painter", b"tiny printer")
    assert (
        told(altered)["c2pa"]
        == "tiny printer 1.0; signed by Some Studio; Invalid: the signature does not fit the claim"
    )


def test_the_program_of_an_action_that_generates_is_the_generator(signer: c2pa.Signer) -> None:
    created = {"action": "c2pa.created", "digitalSourceType": GENERATED, "softwareAgent": {"name": "GPT-4o"}}
    assert told(signed(signer, "png", assertions=actions(created)))["generator"] == "GPT-4o"


def test_a_description_counts_where_it_names_one(signer: c2pa.Signer) -> None:
    created = {
        "action": "c2pa.created",
        "digitalSourceType": GENERATED,
        "description": "Created by Google Generative AI.",
    }
    assert told(signed(signer, "png", assertions=actions(created)))["generator"] == "Created by Google Generative AI."


def test_a_maker_that_generates_is_the_generator(signer: c2pa.Signer) -> None:
    assert told(signed(signer, "png", "Adobe Firefly"))["generator"] == "Adobe Firefly 1.0"


def test_an_editor_or_a_camera_is_none(signer: c2pa.Signer) -> None:
    shot = {
        "action": "c2pa.created",
        "digitalSourceType": GENERATED.replace("trainedAlgorithmicMedia", "digitalCapture"),
    }
    edited = {"action": "c2pa.edited", "softwareAgent": {"name": "Adobe Photoshop"}}
    data = signed(signer, "png", "Pixel Camera", assertions=actions(shot, edited))
    assert "generator" not in told(data)


@pytest.mark.parametrize(
    "store",
    [
        b"jumb" * 100,
        superbox(b"c2pa", b"c2pa"),
        superbox(
            b"c2pa", b"c2pa", superbox(b"c2ma", b"urn:uuid:1", superbox(b"c2cl", b"c2pa.claim", box(b"cbor", b"\xa0")))
        ),
    ],
)
def test_a_broken_or_foreign_store_is_told_in_plain_words(store: bytes) -> None:
    found = told(png(chunk(b"caBX", store)))
    assert found == {"c2pa": "unreadable: the manifest is damaged or of an unknown kind; signature not checked"}


def test_a_store_that_was_not_cut_out_is_told_as_present() -> None:
    assert claims(b"", "png", b"") == {
        "c2pa": "present, not read: the manifest is damaged or too large; signature not checked"
    }


def test_a_large_file_is_told_as_present() -> None:
    assert claims(bytes(MAX_FILE_BYTES + 1), "png", b"store")["c2pa"].startswith(
        "present, not read: the file is too large"
    )


@pytest.mark.parametrize(
    "body",
    [box(b"cbor", b"\x01" * (MAX_PARSED_BYTES + 1)), box(b"free", b"") * 30_000],
    ids=["one large", "many small"],
)
def test_a_store_that_states_too_much_is_not_parsed(body: bytes) -> None:
    assert told(png(chunk(b"caBX", superbox(b"c2pa", b"c2pa", body))))["c2pa"].startswith(
        "present, not read: it states too much"
    )


def test_a_store_that_has_its_file_hashed_over_and_over_is_given_up(signer: c2pa.Signer) -> None:
    plain = saved("PNG")
    large = plain[:-12] + chunk(b"juNK", bytes(2 << 20)) + plain[-12:]
    hashes = [
        {
            "label": "c2pa.hash.data",
            "data": {"exclusions": [], "name": str(at), "alg": "sha256", "hash": "A" * 43 + "=", "pad": [0]},
        }
        for at in range(4 * MAX_READS)
    ]
    data = signed(signer, "png", plain=large, assertions=CREATED + hashes)
    assert told(data)["c2pa"].startswith("present, not read: to check it takes too much work")


def test_nothing_is_fetched_for_a_manifest_that_names_an_address(signer: c2pa.Signer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        data = signed(signer, "jpeg", url=address)
        assert address.encode() in data
        assert (declared_provenance(data, "jpeg") or {})["c2pa"].endswith("; Valid")
        with pytest.raises(BlockingIOError):
            server.accept()
