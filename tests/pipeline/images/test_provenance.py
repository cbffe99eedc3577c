"""Laws of provenance: what a file declares is told in a few words, what it does not declare is never made up."""

import io
import json
import random
import struct
from typing import Any

import c2pa
import pytest
from PIL import Image

from pipeline.images.metadata import iptc, manifest, tiff, xmp
from pipeline.images.provenance import Declaration, collect, declared_provenance
from pipeline.records import PROVENANCE
from tests.declaring import (
    GENERATED,
    GRAPH,
    WEB_UI,
    WEB_UI_LINE,
    avif,
    box,
    chunk,
    exif,
    gif,
    iim,
    jpeg,
    png,
    resource,
    saved,
    segment,
    sub_blocks,
    texts,
    webp,
)
from tests.declaring import tiff as tiff_of
from tests.declaring import xmp as packet
from tests.signing import signed

FORMATS = ("jpeg", "png", "webp")
MAKE, MODEL, SOFTWARE, DESCRIPTION = 0x010F, 0x0110, 0x0131, 0x010E
CAMERA = {MAKE: "Canon", MODEL: "EOS 350D", SOFTWARE: "Picasa 3.0"}


def facts(block: bytes, format_: str = "jpeg") -> dict[str, str]:
    """What a file of a format declares with an EXIF block."""
    made = {
        "jpeg": lambda: jpeg(segment(0xE1, b"Exif\0\0" + block)),
        "png": lambda: png(chunk(b"eXIf", block)),
        "webp": lambda: webp((b"EXIF", block)),
        "avif": lambda: avif([(b"Exif", b"\0\0\0\0" + block)]),
        "tiff": lambda: block,
    }
    return declared_provenance(made[format_](), format_) or {}


def described(body: str) -> dict[str, str]:
    """What a JPEG declares with an XMP packet."""
    return declared_provenance(jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet(body))), "jpeg") or {}


def captioned(*sets: tuple[int, bytes]) -> dict[str, str]:
    """What a JPEG declares with IPTC-IIM data sets."""
    return declared_provenance(jpeg(segment(0xED, b"Photoshop 3.0\0" + resource(0x0404, iim(*sets)))), "jpeg") or {}


@pytest.mark.parametrize("format_", [*FORMATS, "gif", "bmp", "tiff", "avif"])
def test_a_plain_file_declares_nothing(format_: str) -> None:
    assert declared_provenance(saved(format_), format_) is None


def test_no_format_declares_nothing() -> None:
    assert declared_provenance(b"<html>", None) is None


@pytest.mark.parametrize("format_", [*FORMATS, "tiff", "avif"])
def test_camera_and_software_come_from_exif_in_every_format(format_: str) -> None:
    assert facts(exif(dict(CAMERA)), format_) == {"camera": "Canon EOS 350D", "software": "Picasa 3.0"}


@pytest.mark.parametrize("format_", [*FORMATS, "tiff", "avif"])
def test_camera_and_software_come_from_what_pillow_writes(format_: str) -> None:
    written = Image.Exif()
    written.update(CAMERA)
    assert declared_provenance(saved(format_, exif=written), format_) == {
        "camera": "Canon EOS 350D",
        "software": "Picasa 3.0",
    }


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_the_items_of_a_heic_are_read(brand: bytes) -> None:
    mime = b"mimexmp\0application/rdf+xml\0"
    body = packet("<xmp:CreatorTool>17.1</xmp:CreatorTool>")
    data = avif([(b"Exif", b"\0\0\0\6Exif\0\0" + exif({MAKE: "Apple", MODEL: "iPhone 15"})), (mime, body)], brand=brand)
    assert declared_provenance(data, "heic") == {"camera": "Apple iPhone 15", "software": "17.1"}


def test_a_heic_that_libheif_writes_is_read() -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    written = Image.Exif()
    written.update(CAMERA)
    out = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 64))).save(out, exif=written.tobytes(), xmp=packet("<dc:title>T</dc:title>"))
    assert declared_provenance(out.getvalue(), "heic") == {"camera": "Canon EOS 350D", "software": "Picasa 3.0"}


def test_a_model_that_names_its_maker_is_not_told_twice() -> None:
    assert facts(exif({MAKE: "Canon", MODEL: "Canon EOS 350D"})) == {"camera": "Canon EOS 350D"}


def test_text_that_exif_keeps_as_bytes_is_text() -> None:
    block = exif({MAKE: b"Canon\0\0\0", MODEL: "Eos é".encode("latin-1"), SOFTWARE: "A tool".encode("utf-16-le")})
    assert facts(block) == {"camera": "Canon Eos é", "software": "A tool"}


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + WEB_UI.encode("utf-16-be"),
        b"UNICODE\0" + WEB_UI.encode("utf-16-le"),
        b"UNICODE\0\xff\xfe" + WEB_UI.encode("utf-16-le"),
        b"UNICODE\0" + ("红色的谷仓\n" + WEB_UI).encode("utf-16-le"),
        b"UNICODE\0" + WEB_UI.encode(),
        b"ASCII\0\0\0" + WEB_UI.encode(),
        b"\0" * 8 + WEB_UI.encode(),
    ],
)
@pytest.mark.parametrize("format_", [*FORMATS, "avif"])
def test_a_web_uis_settings_are_found_in_an_exif_comment(comment: bytes, format_: str) -> None:
    assert facts(exif({}, comment), format_) == {"generator": WEB_UI_LINE}


def test_a_comment_of_the_type_of_a_text_is_read_in_either_directory() -> None:
    text = tiff_of([(0x9286, 2, WEB_UI.encode() + b"\0")], offset=8)
    inner = tiff_of([(0x8769, 4, struct.pack("<I", 8))], before=text)
    assert facts(inner) == {"generator": WEB_UI_LINE}
    assert facts(exif({0x9286: WEB_UI, SOFTWARE: "Fooocus v2.5.5"}))["software"] == "Fooocus v2.5.5"


def test_swarmuis_settings_are_found_in_an_exif_comment() -> None:
    said = json.dumps({"sui_image_params": {"prompt": "a barn", "model": "flux", "swarm_version": "0.9.5"}})
    assert facts(exif({}, b"UNICODE\0" + said.encode("utf-16-le"))) == {"generator": "SwarmUI flux 0.9.5"}


@pytest.mark.parametrize(
    "tags",
    [
        {MAKE: 'workflow:{"nodes":[]}', MODEL: "prompt:" + GRAPH},
        {MAKE: "prompt:" + GRAPH, DESCRIPTION: 'workflow:{"nodes":[]}'},
        {MAKE: 'Workflow: {"nodes": []}', DESCRIPTION: "Prompt: " + GRAPH},
        {0x010D: "prompt:" + GRAPH, 0x9C9C: ("prompt:" + GRAPH).encode("utf-16-le")},
    ],
)
@pytest.mark.parametrize("format_", [*FORMATS, "avif"])
def test_a_workflow_is_a_generator_and_never_a_camera(tags: dict[int, str | bytes], format_: str) -> None:
    assert facts(exif(tags), format_) == {"generator": "ComfyUI dream.safetensors"}


def test_json_of_no_known_kind_is_neither_camera_nor_generator() -> None:
    assert facts(exif({MAKE: 'extra:{"a": 1}', MODEL: '{"b": 2}'})) == {}


def test_a_generator_that_signs_as_maker_is_no_camera() -> None:
    block = exif({MAKE: "Black Forest Labs", MODEL: "flux-dev", SOFTWARE: "AI generated;txt2img;flux"})
    assert facts(block) == {"software": "AI generated;txt2img;flux", "generator": "Black Forest Labs flux-dev"}
    assert facts(exif({SOFTWARE: "AI generated"})) == {"software": "AI generated", "generator": "AI generated"}
    assert facts(exif({MAKE: "Midjourney", MODEL: "6"})) == {"generator": "Midjourney 6"}


@pytest.mark.parametrize(
    ("make", "model"), [("Hawkeye", "Firefly 8S"), ("FLIR", "Firefly"), ("Google", "Pixel 8 Pro"), ("Leica", "Q3")]
)
def test_a_camera_is_never_a_generator(make: str, model: str) -> None:
    assert facts(exif({MAKE: make, MODEL: model, 0x013C: model})) == {"camera": f"{make} {model}"}


@pytest.mark.parametrize(
    ("tag", "said", "generator"),
    [
        (0x013B, "DALL-E 3", "DALL-E 3"),
        (0x8298, "Leonardo.Ai", "Leonardo.Ai"),
        (0x013C, "ComfyUI", "ComfyUI"),
        (DESCRIPTION, "a cat, created with Midjourney", "Midjourney"),
        (DESCRIPTION, WEB_UI, WEB_UI_LINE),
        (0x9C9C, WEB_UI.encode("utf-16-le"), WEB_UI_LINE),
        (0x013B, "Leonardo da Vinci", None),
        (0x013C, "iPhone 15", None),
        (DESCRIPTION, "a day at the lake", None),
    ],
)
def test_other_fields_of_exif_name_generators(tag: int, said: str | bytes, generator: str | None) -> None:
    assert facts(exif({tag: said})).get("generator") == generator


def test_a_photographers_comment_is_no_generator() -> None:
    assert facts(exif({}, b"ASCII\0\0\0a day at the lake")) == {}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('<rdf:Description xmp:CreatorTool="Adobe Photoshop 25.0"/>', {"software": "Adobe Photoshop 25.0"}),
        ("<rdf:Description xmp:CreatorTool='Draw Things'/>", {"software": "Draw Things", "generator": "Draw Things"}),
        (f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{GENERATED}"/>', {"source_type": "trainedAlgorithmicMedia"}),
        ("<Iptc4xmpExt:AISystemUsed>Some Painter</Iptc4xmpExt:AISystemUsed>", {"generator": "Some Painter"}),
        ('<rdf:Description tiff:Make="NIKON" tiff:Model="D70"/>', {"camera": "NIKON D70"}),
        ('<rdf:Description photoshop:Credit="Made with Google AI"/>', {"generator": "Made with Google AI"}),
        ('<rdf:Description photoshop:Credit="A. Photographer"/>', {}),
        ('<rdf:Description photoshop:Credit="International Gemini Observatory"/>', {}),
        (
            """<rdf:Description TC260:AIGC='{"Label": "1", "ContentProducer": "Some Producer"}'/>""",
            {"generator": "AIGC Some Producer"},
        ),
    ],
)
def test_xmp_gives_its_facts(body: str, told: dict[str, str]) -> None:
    assert described(body) == told


def test_iptc_gives_its_facts() -> None:
    assert captioned((110, b"Made with Google AI")) == {"generator": "Made with Google AI"}
    assert captioned((80, b"Midjourney"), (115, b"somewhere")) == {"generator": "Midjourney"}
    assert captioned((65, b"Adobe Photoshop")) == {"software": "Adobe Photoshop"}
    assert captioned((120, b"a cat, made with Stable Diffusion")) == {"generator": "Stable Diffusion"}
    assert captioned((120, b"a cat (" + GENERATED.encode() + b")")) == {"source_type": "trainedAlgorithmicMedia"}
    assert captioned((40, GENERATED.encode())) == {"source_type": "trainedAlgorithmicMedia"}
    assert captioned((80, b"A. Photographer"), (110, b"Firefly Pictures")) == {}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"parameters": WEB_UI}, {"generator": WEB_UI_LINE}),
        ({"prompt": GRAPH, "workflow": "{}"}, {"generator": "ComfyUI dream.safetensors"}),
        ({"workflow": '{"nodes": []}', "prompt": GRAPH}, {"generator": "ComfyUI dream.safetensors"}),
        ({"Dream": "cat -s 20"}, {"generator": "InvokeAI cat -s 20"}),
        ({"Description": "a cat --v 6 Job ID: 12"}, {"generator": "Midjourney a cat --v 6 Job ID: 12"}),
        (
            {
                "Software": "NovelAI",
                "Source": "NovelAI Diffusion V4 37442FCA",
                "Comment": '{"uc": "", "signed_hash": "a"}',
            },
            {"software": "NovelAI", "generator": "NovelAI Diffusion V4 37442FCA"},
        ),
        ({"Software": "GIMP"}, {"software": "GIMP"}),
        ({"Comment": "Created with GIMP"}, {}),
        ({"Author": "Wassily Kandinsky", "Source": "scan"}, {}),
        ({"prompt": "what is your name?", "parameters": "alpha = 0.3"}, {}),
    ],
)
def test_the_texts_of_a_png_give_their_facts(said: dict[str, str], told: dict[str, str]) -> None:
    assert (declared_provenance(texts(said), "png") or {}) == told


def test_an_animation_of_comfyui_names_it() -> None:
    assert declared_provenance(png(chunk(b"comf", b"prompt\0" + GRAPH.encode())), "png") == {
        "generator": "ComfyUI dream.safetensors"
    }


def test_a_gifs_comment_and_xmp_give_their_facts() -> None:
    body = packet("<xmp:CreatorTool>A tool</xmp:CreatorTool>") + b"\x01" + bytes(range(255, -1, -1))
    data = gif((0xFE, sub_blocks(WEB_UI.encode())), (0xFF, b"\x0bXMP DataXMP" + body))
    assert declared_provenance(data, "gif") == {"software": "A tool", "generator": WEB_UI_LINE}


def test_jpeg_2000_and_jpeg_xl_give_their_facts() -> None:
    data = box(b"JXL ", b"\r\n\x87\n") + box(b"Exif", b"\0\0\0\0", exif(dict(CAMERA)))
    assert (declared_provenance(data, "jxl") or {})["camera"] == "Canon EOS 350D"


def test_values_are_clean_and_cut() -> None:
    found = declared_provenance(texts({"Software": "a\n\n \x07b" + "c" * 5000}), "png")
    assert found is not None
    assert found["software"].startswith("a bccc")
    assert len(found["software"]) == 500


def test_what_is_said_first_stays() -> None:
    data = png(chunk(b"eXIf", exif({SOFTWARE: "first"})), chunk(b"tEXt", b"Software\0second"))
    assert declared_provenance(data, "png") == {"software": "first"}


def test_every_key_is_a_column() -> None:
    body = packet('<x photoshop:Credit="ComfyUI" Iptc4xmpExt:DigitalSourceType="a/b"/>')
    data = jpeg(
        segment(0xE1, b"Exif\0\0" + exif(dict(CAMERA))), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + body)
    )
    assert set(declared_provenance(data, "jpeg") or {}) == {field.name for field in PROVENANCE} - {"c2pa"}


@pytest.mark.parametrize("format_", [*FORMATS, "gif", "tiff", "avif"])
def test_a_c2pa_manifest_tells_who_claims_who_signed_and_that_it_holds(signer: c2pa.Signer, format_: str) -> None:
    assert declared_provenance(signed(signer, format_), format_) == {
        "c2pa": "tiny painter 1.0; signed by Some Studio; Valid",
        "source_type": "trainedAlgorithmicMedia",
    }


def test_a_generator_that_signs_is_a_generator(signer: c2pa.Signer) -> None:
    assert (declared_provenance(signed(signer, "png", "Adobe Firefly"), "png") or {})[
        "generator"
    ] == "Adobe Firefly 1.0"


def test_a_failing_reader_costs_the_rest_of_the_claims_and_not_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    first = chunk(b"tEXt", b"Software\0GIMP")
    files = {
        "png": png(first, chunk(b"eXIf", exif(dict(CAMERA)))),
        "webp": webp((b"XMP ", packet("<a/>"))),
        "jpeg": jpeg(segment(0xED, b"Photoshop 3.0\0" + resource(0x0404, iim((80, b"me"))))),
    }
    monkeypatch.setattr(tiff, "fields", fail)
    monkeypatch.setattr(xmp, "properties", fail)
    monkeypatch.setattr(iptc, "datasets", fail)
    assert {name: declared_provenance(data, name) for name, data in files.items()} == {
        "png": {"software": "GIMP"},
        "webp": None,
        "jpeg": None,
    }
    monkeypatch.setattr(manifest, "claims", fail)
    assert declared_provenance(png(first, chunk(b"caBX", b"store")), "png") == {"software": "GIMP"}


SAID = exif({**CAMERA, 0x013B: "me", DESCRIPTION: "workflow:{}"}, b"UNICODE\0" + WEB_UI.encode("utf-16-le"))
BODY = packet("<rdf:Description xmp:CreatorTool='A'/><dc:creator><rdf:Seq><rdf:li>me</rdf:li></rdf:Seq></dc:creator>")
SHOP = resource(0x0404, iim((80, b"me"), (110, b"Made with Google AI")))
RICH = {
    "jpeg": jpeg(
        segment(0xE1, b"Exif\0\0" + SAID),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + BODY),
        segment(0xED, b"Photoshop 3.0\0" + SHOP),
        segment(0xEB, b"JP\0\1\0\0\0\1" + box(b"jumb", box(b"jumd", b"c2pa" * 4), b"x" * 20)),
    ),
    "png": png(
        chunk(b"eXIf", SAID),
        chunk(b"tEXt", b"prompt\0" + GRAPH.encode()),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + BODY),
        chunk(b"tEXt", b"Raw profile type iptc\0\niptc\n 9\n" + SHOP.hex().encode()),
    ),
    "webp": webp((b"EXIF", SAID), (b"XMP ", BODY)),
    "gif": gif((0xFE, sub_blocks(WEB_UI.encode())), (0xFF, b"\x0bXMP DataXMP" + BODY + b"\x01\xff\xfe\xfd\0")),
    "tiff": tiff_of([(MAKE, 2, b"Canon\0"), (0x02BC, 1, BODY), (0x83BB, 7, SHOP), (0x9286, 2, WEB_UI.encode())]),
    "avif": avif([(b"Exif", b"\0\0\0\0" + SAID), (b"mimea\0application/rdf+xml\0", BODY)], inside=True),
    "jp2": box(b"jP  ", b"\r\n\x87\n") + box(b"uuid", b"JpgTiffExif->JP2", SAID) + box(b"xml ", BODY),
}
PIECES = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x80", b"<", b'"', b"{")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change a few places of a file, leave some out, double some, or cut it."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(made) + 1)
        kind = chance.random()
        if kind < 0.4:
            made[at : at + 1] = bytes([chance.randrange(256)])
        elif kind < 0.65:
            piece = chance.choice(PIECES)
            made[at : at + len(piece)] = piece
        elif kind < 0.8:
            del made[at : at + chance.randrange(40)]
        elif kind < 0.95:
            made[at:at] = made[at : at + chance.randrange(200)]
        else:
            del made[at:]
    return bytes(made)


@pytest.mark.parametrize("format_", RICH)
def test_no_mutation_makes_a_reader_raise_or_tell_what_no_table_keeps(format_: str) -> None:
    chance = random.Random(5)
    assert declared_provenance(RICH[format_], format_)
    for _ in range(600):
        told = Declaration()
        collect(mutated(RICH[format_], chance), format_, told)
        for name, value in (told.facts() or {}).items():
            assert name in {field.name for field in PROVENANCE}
            assert 0 < len(value) <= 500
            assert value.encode()
            assert value.isprintable() or not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in value)
