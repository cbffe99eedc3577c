"""Magic bytes: detects image formats by them, including unsupported formats."""

import re
import struct

MAGIC_PATTERNS = tuple(
    (re.compile(begin, re.DOTALL), name)
    for begin, name in (
        (rb"\xff\xd8\xff\xf7", "jls"),
        (rb"\xff\xd8(\xff|\Z)", "jpeg"),
        (rb"\x89PNG\r\n", "png"),
        (rb"GIF8[79]a", "gif"),
        (rb"RIFF.{4}WEBP", "webp"),
        (rb"RIFF.{4}ACON", "ani"),
        (rb"BM.{4}(\x00{4}|.{8}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3})", "bmp"),
        (rb"II\*\x00.{4}CR", "cr2"),
        (rb"(II|MM).{6}IIII", "iiq"),
        (rb"II\*\x00|MM\x00\*|MM\*\x00|II\x00\*|MM\x00\+|II\+\x00", "tiff"),
        (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "jp2"),
        (rb".{4}ftypcrx ", "cr3"),
        (rb"II(RO|RS)|MMOR", "orf"),
        (rb"IIU\x00", "rw2"),
        (rb"FUJIFILMCCD-RAW", "raf"),
        (rb"FOVb", "x3f"),
        (rb"\x00MR[MI]", "mrw"),
        (rb"(II|MM).{4}HEAPCCDR", "crw"),
        (rb"ARRI.{4}", "ari"),
        (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "jxl"),
        (rb"II\xbc[\x00\x01]", "jxr"),
        (rb"%PDF-", "pdf"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "eps"),
        (rb"8BPS", "psd"),
        (rb"\x00\x00\x01\x00[^\x00]\x00", "ico"),
        (rb"\x00\x00\x02\x00[^\x00]\x00", "cur"),
        (rb"icns.{4}", "icns"),
        (rb"P[1-7]\s|P[Ff]\s|farbfeld", "pnm"),
        (rb"(?i)\s*<svg\s", "svg"),
        (rb"(?i)\s*<(\?xml|!doctype svg|!--)(?=.*<svg\s)(?!.*<html)", "svg"),
        (rb"DDS ", "dds"),
        (rb"qoif", "qoi"),
        (rb"\x76\x2f\x31\x01", "exr"),
        (rb"#\?(RADIANCE|RGBE)", "hdr"),
        (rb"\x0a[\x00\x02-\x05][\x00\x01][\x01\x02\x04\x08]", "pcx"),
        (rb"\x3a\xde\x68\xb1", "dcx"),
        (rb"\x01\xda[\x00\x01][\x01\x02]", "sgi"),
        (rb"gimp xcf ", "xcf"),
        (rb"AT&TFORM.{4}DJV", "djvu"),
        (rb"SIMPLE  =", "fits"),
        (rb"\xd7\xcd\xc6\x9a", "wmf"),
        (rb"\x01\x00\x00\x00.{36} EMF", "emf"),
        (rb"/\* XPM", "xpm"),
        (rb"#define \w+_width ", "xbm"),
        (rb"\x59\xa6\x6a\x95", "ras"),
        (rb".{128}DICM", "dicom"),
        (rb"\x80\x2a\x5f\xd7|\xd7\x5f\x2a\x80", "cineon"),
        (rb"SDPX|XPDS", "dpx"),
        (rb"\x97JB2\r\n", "jbig2"),
        (rb"\x8aMNG|\x8bJNG", "mng"),
        (rb"BPG\xfb", "bpg"),
        (rb"FLIF", "flif"),
        (rb"\xabKTX ", "ktx"),
        (rb"BLP[12]", "blp"),
        (rb"FORM.{4}(ILBM|PBM |RGBN|RGB8|ACBM|DEEP)", "ilbm"),
        (rb"Paint Shop Pro Image File", "psp"),
    )
)
BRANDS = ((b"avif", "avif"), (b"avis", "avif"), (b"he", "heic"), (b"mif1", "heic"), (b"msf1", "heic"))
"""Prefixes of the brands of ISO base media files, the specific ones first; source: ISO/IEC 23008-12, AVIF 1.1."""
TGA_KINDS = {1, 2, 3, 9, 10, 11}
TGA_BITS = {8, 15, 16, 24, 32}


def detect_format(data: bytes) -> str | None:
    """Return the format of a file, None if unknown."""
    head = data[:1024]
    named = next((name for begin, name in MAGIC_PATTERNS if begin.match(head)), None)
    return named or _brand(head) or ("tga" if _is_tga(data) else None)


def _brand(head: bytes) -> str | None:
    """Return the format of an ISO base media file: by its major brand, then its compatible brands."""
    if head[4:8] != b"ftyp":
        return None
    end = min(len(head), max(16, int.from_bytes(head[:4])))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    if not brands[0].startswith((b"avi", b"he", b"mif1", b"msf1", b"miaf", b"1pic")):
        return None  # a video, whatever its compatible brands
    return next((name for begin, name in BRANDS if any(brand.startswith(begin) for brand in brands)), None)


def _is_tga(data: bytes) -> bool:
    """Return whether a file is a TGA, which has no magic bytes: by its footer, or a header valid in every field."""
    if data[-18:] == b"TRUEVISION-XFILE.\0":
        return True
    if len(data) < 19:
        return False
    _, mapped, kind, first, length, depth, _, _, wide, high, bits, flags = struct.unpack_from("<BBBHHBHHHHBB", data)
    palette = (mapped == 1 and 0 < length <= 256 and depth in TGA_BITS) or (
        mapped == 0 and not (first or length or depth)
    )
    fits = palette and kind in TGA_KINDS and (kind % 8 == 1) == (mapped == 1) and bits in TGA_BITS and not flags & 0xC0
    whole = kind > 8 or len(data) >= 18 + wide * high * ((bits + 7) // 8)
    return bool(fits and wide and high and whole)
