"""Laws of provenance: what a file declares is told in a few words, what it does not declare is never made up."""

import datetime
import io
from collections.abc import Iterator
from typing import Any

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pipeline.provenance import declared
from pipeline.records import PROVENANCE

FORMATS = ("jpeg", "png", "webp")
WEB_UI = "a cat, in oil\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Model: dreamy_8, Version: v1.9.0"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

Certificate = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def saved(form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, form, **options)
    return out.getvalue()


def exif(tags: dict[int, str], comment: bytes = b"") -> Image.Exif:
    written = Image.Exif()
    for tag, value in tags.items():
        written[tag] = value
    if comment:
        written.get_ifd(0x8769)[0x9286] = comment
    return written


def texts(**said: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, value in said.items():
        info.add_text(name, value)
    return saved("PNG", pnginfo=info)


def xmp(body: str) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{body}</rdf:RDF></x:xmpmeta>'.encode()


@pytest.mark.parametrize("format_", [*FORMATS, "gif", "bmp", "tiff", "avif"])
def test_a_plain_file_declares_nothing(format_: str) -> None:
    assert declared(saved(format_), format_) is None


def test_no_format_declares_nothing() -> None:
    assert declared(b"<html>", None) is None


@pytest.mark.parametrize("format_", [*FORMATS, "tiff", "avif"])
def test_camera_and_software_come_from_exif_in_every_format(format_: str) -> None:
    written = exif({0x010F: "Canon", 0x0110: "EOS 350D", 0x0131: "Picasa 3.0"})
    assert declared(saved(format_, exif=written), format_) == {"camera": "Canon EOS 350D", "software": "Picasa 3.0"}


def test_a_model_that_names_its_maker_is_not_told_twice() -> None:
    written = exif({0x010F: "Canon", 0x0110: "Canon EOS 350D"})
    assert declared(saved("JPEG", exif=written), "jpeg") == {"camera": "Canon EOS 350D"}


@pytest.mark.parametrize("comment", [b"UNICODE\0" + WEB_UI.encode("utf-16-be"), b"UNICODE\0" + WEB_UI.encode("utf-16-le"),
                                     b"ASCII\0\0\0" + WEB_UI.encode()])  # fmt: skip
def test_a_web_uis_settings_are_found_in_an_exif_comment(comment: bytes) -> None:
    found = declared(saved("JPEG", exif=exif({}, comment)), "jpeg")
    assert found == {"generator": "Steps: 20, Sampler: Euler a, Model: dreamy_8, Version: v1.9.0"}


def test_a_photographers_comment_is_no_generator() -> None:
    assert declared(saved("JPEG", exif=exif({}, b"ASCII\0\0\0a day at the lake")), "jpeg") is None


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        (
            '<rdf:Description xmp:CreatorTool="Adobe Photoshop 25.0 (Windows)"/>',
            {"software": "Adobe Photoshop 25.0 (Windows)"},
        ),
        ("<xmp:CreatorTool>A &amp; B</xmp:CreatorTool>", {"software": "A & B"}),
        (
            f"<Iptc4xmpExt:DigitalSourceType>{GENERATED}</Iptc4xmpExt:DigitalSourceType>",
            {"source_type": "trainedAlgorithmicMedia"},
        ),
        (f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{GENERATED}"/>', {"source_type": "trainedAlgorithmicMedia"}),
        ('<rdf:Description tiff:Make="NIKON" tiff:Model="D70"/>', {"camera": "NIKON D70"}),
        ('<rdf:Description photoshop:Credit="Made with Google AI"/>', {"generator": "Made with Google AI"}),
        ('<rdf:Description photoshop:Credit="A. Photographer"/>', None),
    ],
)
@pytest.mark.parametrize("format_", ["jpeg", "webp"])
def test_xmp_is_read_as_attribute_and_as_element(format_: str, body: str, facts: dict[str, str] | None) -> None:
    assert declared(saved(format_, xmp=xmp(body)), format_) == facts


def test_a_png_of_a_web_ui_names_its_settings_and_not_its_prompt() -> None:
    found = declared(texts(parameters=WEB_UI), "png")
    assert found == {"generator": "Steps: 20, Sampler: Euler a, Model: dreamy_8, Version: v1.9.0"}


def test_a_png_of_comfyui_names_its_checkpoints() -> None:
    graph = '{"4": {"inputs": {"ckpt_name": "sdxl.safetensors"}}, "9": {"inputs": {"unet_name": "flux1-dev"}}}'
    assert declared(texts(prompt=graph, workflow="{}"), "png") == {"generator": "ComfyUI sdxl.safetensors, flux1-dev"}


@pytest.mark.parametrize(
    ("said", "generator"),
    [
        ({"Dream": "cat -s 20"}, "InvokeAI cat -s 20"),
        ({"Description": "a cat --v 6 Job ID: 12"}, "Midjourney a cat --v 6 Job ID: 12"),
        ({"Software": "NovelAI"}, "NovelAI"),
        ({"Software": "GIMP"}, None),
        ({"Comment": "Created with GIMP"}, None),
    ],
)
def test_a_png_text_names_a_generator_only_where_it_is_one(said: dict[str, str], generator: str | None) -> None:
    assert (declared(texts(**said), "png") or {}).get("generator") == generator


def test_values_are_cut_and_on_one_line() -> None:
    found = declared(texts(Software="a\n\n b" + "c" * 5000), "png")
    assert found is not None
    assert found["software"].startswith("a bccc")
    assert len(found["software"]) == 500


def test_every_key_is_a_column() -> None:
    written = exif({0x010F: "a", 0x0131: "ComfyUI"})
    found = declared(saved("JPEG", exif=written, xmp=xmp('<x photoshop:Credit="b"/>')), "jpeg")
    assert found is not None
    assert set(found) <= {field.name for field in PROVENANCE}


def certificate(common: str, issuer: Certificate | None) -> Certificate:
    """A certificate that C2PA accepts as sound; nobody trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Some Studio"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in (common, "root")
    ]
    signer = issuer[1] if issuer else key
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    builder = (
        x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=issuer is not None,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
    )
    if issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key


@pytest.fixture(scope="module")
def signer() -> Iterator[c2pa.Signer]:
    """A signer with a chain of two certificates made on the spot."""
    root = certificate("root", None)
    leaf, key = certificate("leaf", root)
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, root[0]))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = c2pa.C2paSignerInfo(alg=c2pa.C2paSigningAlg.ES256, sign_cert=chain, private_key=secret, ta_url=None)
    with c2pa.Signer.from_info(info) as made:
        yield made


def signed(signer: c2pa.Signer, format_: str, maker: str = "tiny painter") -> bytes:
    actions = [{"action": "c2pa.created", "digitalSourceType": GENERATED}]
    manifest = {
        "claim_generator_info": [{"name": maker, "version": "1.0"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    out = io.BytesIO()
    with c2pa.Builder(manifest) as builder:
        builder.sign(signer, f"image/{format_}", io.BytesIO(saved(format_)), out)
    return out.getvalue()


@pytest.mark.parametrize("format_", [*FORMATS, "gif", "tiff", "avif"])
def test_a_c2pa_manifest_tells_who_claims_who_signed_and_that_it_holds(signer: c2pa.Signer, format_: str) -> None:
    assert declared(signed(signer, format_), format_) == {
        "c2pa": "tiny painter 1.0; signed by Some Studio; Valid",
        "source_type": "trainedAlgorithmicMedia",
    }


def test_a_picture_changed_after_signing_is_told_as_invalid(signer: c2pa.Signer) -> None:
    data = bytearray(signed(signer, "jpeg"))
    data[-20] ^= 0xFF
    assert (declared(bytes(data), "jpeg") or {})["c2pa"].endswith("; Invalid")


def test_a_generator_that_signs_is_a_generator(signer: c2pa.Signer) -> None:
    assert (declared(signed(signer, "png", "Adobe Firefly"), "png") or {})["generator"].startswith("Adobe Firefly 1.0")


def test_a_broken_manifest_is_told_as_unreadable() -> None:
    plain = saved("JPEG")
    marked = plain[:2] + b"\xff\xeb\0\x14JP\0\1" + b"\0" * 14 + plain[2:]
    assert (declared(marked, "jpeg") or {})["c2pa"].startswith("unreadable: ")


@pytest.mark.parametrize("format_", FORMATS)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(edits=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=20), end=st.integers(0, 1500))
def test_no_bytes_whatever_raise(format_: str, edits: list[tuple[int, int]], end: int) -> None:
    written = exif({0x010F: "Canon", 0x0131: "x" * 50}, b"UNICODE\0" + WEB_UI.encode("utf-16-le"))
    data = bytearray(saved(format_, exif=written))
    for at, value in edits:
        data[at % len(data)] = value
    found = declared(bytes(data[:end]), format_)
    assert found is None or all(0 < len(text) <= 500 for text in found.values())
