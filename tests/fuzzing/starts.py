"""Starts: the sound inputs from which a coverage-guided fuzzer sets out."""

import bz2
import gzip
import io
import json
import lzma
import sys
import tarfile
from typing import Any

import numpy as np
from PIL import Image
from simplejpeg import encode_jpeg

from pipeline.images.container import EXTRACTORS
from pipeline.images.formats.magic_bytes import detect_format
from tests.fuzzing.seeds import absurd, seeds
from tests.fuzzing.targets import FORMS
from tests.imagefiles import saved

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LISTINGS = {
    ".csv": ['url,caption\na.jpg,one\n"b,c.jpg","two\nlines"\n', "uri\n\n/a/b.png\nfile:///c.gif\n", "a;b\n1;2\n"],
    ".tsv": ['path\tcaption\na.jpg\t"one\nb.jpg\ttwo\n'],
    ".txt": ["a.jpg\nhttps://h/b.png\r\ndata:image/png;base64,iVBORw0K\n  \nC:\\x.jpg\n", "\ufeffa.jpg\rb.jpg\r"],
    ".jsonl": ['{"url": "a.jpg", "caption": 1}\n"b.jpg"\n{"url": null}\nbroken\n'],
    ".json": [
        '[{"url": "a.jpg"}, {"url": "b.jpg", "caption": {"x": [1, "\\ud83d"]}}]',
        '{"data": [{"url": "a.jpg"}]}',
        '{"url": {"0": "a.jpg", "1": "b.jpg"}}',
        '{"columns": ["url"], "index": [0], "data": [["a.jpg"]]}',
        json.dumps({"url": ["a.jpg", "b.jpg"], "caption": [1, 2]}),
    ],
}


def starts(target: str) -> list[bytes]:
    """Make the sound inputs of a target."""
    match target:
        case "archive":
            return _archives()
        case "container":
            forms = tuple(EXTRACTORS)
            return [
                bytes([forms.index(name)]) + data for data in seeds() if (name := str(detect_format(data))) in forms
            ]
        case "cropped":
            return _jpegs()
        case "header":
            return [*seeds(), *absurd()]
        case _:
            texts = [(FORMS.index(form), text) for form, every in LISTINGS.items() for text in every]
            codings = ("utf-8", "utf-16", "utf-16-be")
            return [bytes([at]) + text.encode(coding, "replace") for at, text in texts for coding in codings]


def _jpegs() -> list[bytes]:
    """Write small JPEGs of every chroma subsampling and coding, each behind eight bytes that choose a rectangle."""
    chance, made = np.random.default_rng(0), []
    for high, wide in ((40, 56), (67, 131)):
        pixels_HW3 = chance.integers(0, 256, (high, wide, 3), np.uint8)
        made += [encode_jpeg(pixels_HW3, 40, "RGB", chroma) for chroma in ("444", "422", "420", "440", "411")]
        image = Image.fromarray(pixels_HW3)
        ways: tuple[dict[str, Any], ...] = (
            {},
            {"progressive": True},
            {"restart_marker_blocks": 2},
            {"keep_rgb": True},
            {"optimize": True},
        )
        made += [saved(image, "JPEG", quality=30, **way) for way in ways]
        made += [saved(image.convert(mode), "JPEG", quality=30) for mode in ("L", "CMYK")]
    return [chance.bytes(8) + data for data in made]


def _archives() -> list[bytes]:
    plain = [_tar(form) for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)]
    first = plain[0]
    packed = [gzip.compress(first, mtime=0), bz2.compress(first), lzma.compress(first), zstd.compress(first)]
    return [*plain, *packed, packed[0] + packed[0], plain[1] + plain[0], _sparse(False), _sparse(True)]


def _tar(form: int) -> bytes:
    held = io.BytesIO()
    long = "folder/" * (20 if form != tarfile.USTAR_FORMAT else 10)
    with tarfile.open(fileobj=held, mode="w", format=form) as archive:
        for name, body in {
            "1.jpg": b"\xff\xd8\xff\xe0",
            "1.json": b'{"caption": "x"}',
            f"{long}2.png": b"P" * 600,
        }.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(body)
            archive.addfile(facts, io.BytesIO(body))
        for kind, name in ((tarfile.LNKTYPE, "3.jpg"), (tarfile.SYMTYPE, "4.jpg"), (tarfile.DIRTYPE, "5")):
            facts = tarfile.TarInfo(name)
            facts.type, facts.linkname = kind, "1.jpg"
            archive.addfile(facts)
    return held.getvalue()


def _sparse(posix: bool) -> bytes:
    """Write a file with a hole, in GNU's old format or as pax records name it."""
    facts = tarfile.TarInfo("s.jpg")
    facts.size = 4
    if posix:
        facts.pax_headers = {"GNU.sparse.map": "0,2,600,2", "GNU.sparse.size": "700", "GNU.sparse.name": "s.jpg"}
        return facts.tobuf(tarfile.PAX_FORMAT) + b"data".ljust(512, b"\0") + bytes(1024)
    facts.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(facts.tobuf(tarfile.GNU_FORMAT))
    head[386:434] = b"".join(b"%011o\0" % number for number in (0, 2, 600, 2))
    head[483:495] = b"%011o\0" % 700
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + b"data".ljust(512, b"\0") + bytes(1024)
