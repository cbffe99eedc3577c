"""Build the sample shards and their README from the labelled images beside the repository; the same bytes each time.

python examples/build.py --data ../shared/data
"""

import argparse
import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

HERE = Path(__file__).parent
SHARDS = 3
PHOTOGRAPHS, RENDERINGS = 16, 18
PAINTINGS = ("Artemisia-Gentileschi", "Henri-Rousseau", "John-Atkinson-Grimshaw", "Pieter-de-Hooch")
TILE = 512
TORN_SHARE = 0.5
MARK = "<!-- the table below is written by build.py -->"

Row = dict[str, str]
Members = dict[str, bytes]


class Sample(NamedTuple):
    """What shares a key in a shard: members by extension."""

    key: str
    members: Members


def main() -> None:
    """Write the shards and the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    data = parser.parse_args().data
    samples = sound(data)
    (HERE / "shards").mkdir(exist_ok=True)
    for number, content in enumerate(shards(samples)):
        (HERE / "shards" / f"sample-{number:05d}.tar").write_bytes(content)
    page = HERE / "README.md"
    page.write_text(readme(page.read_text(encoding="utf-8"), samples), encoding="utf-8")


def sound(data: Path) -> list[Sample]:
    """Choose the images that may be shipped: the smallest photographs and renderings, and some grids cut into four."""
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(
            (row for row in csv.DictReader(file) if row["shippable"] == "yes"), key=lambda row: int(row["bytes"])
        )
    photographs = [whole(data, row) for row in rows if row["source"] == "openimages"][:PHOTOGRAPHS]
    renderings = [whole(data, row) for row in rows if row["source"] == "sdnext-reference"][:RENDERINGS]
    paintings = [
        tile
        for row in rows
        if row["source"] == "supagruen-cheatsheet" and Path(row["path"]).stem.removeprefix("img_") in PAINTINGS
        for tile in tiles(data, row)
    ]
    return sorted(photographs + renderings + paintings, key=lambda sample: hashlib.sha256(sample.key.encode()).digest())


def whole(data: Path, row: Row) -> Sample:
    """Take one file as its source has it."""
    content = (data / row["path"]).read_bytes()
    name = Path(row["path"]).stem.removeprefix("models_Reference_").removeprefix("data_open_images_annotations_100_")
    return Sample(_key(name), {"jpg": content, "json": facts(row, "nothing: the bytes are the source's")})


def tiles(data: Path, row: Row) -> Iterator[Sample]:
    """Cut a grid of four images into its images."""
    name = Path(row["path"]).stem.removeprefix("img_")
    with Image.open(data / row["path"]) as grid:
        for number in range(4):
            left, top = number % 2 * TILE, number // 2 * TILE
            out = io.BytesIO()
            grid.convert("RGB").crop((left, top, left + TILE, top + TILE)).save(out, "WEBP", quality=90, method=6)
            change = f"image {number + 1} of a grid of four, cut out and written again as WebP, quality 90"
            yield Sample(_key(f"{name}-{number + 1}"), {"webp": out.getvalue(), "json": facts(row, change)})


def facts(row: Row, change: str) -> bytes:
    """Tell where an image comes from and under which licence, as the sample's own JSON."""
    told = {name: row[name] for name in ("label", "generator", "source", "licence")}
    return json.dumps(told | {"url": url(row), "changed": change}, indent=1).encode()


def url(row: Row) -> str:
    """The page of the image in the repository that it was taken from; for a photograph, the repository."""
    name = Path(row["path"]).name
    place = f"https://github.com/{row['repository']}"
    if row["source"] == "sdnext-reference":
        return f"{place}/blob/{row['commit']}/models/Reference/{name.removeprefix('models_Reference_')}"
    if row["source"] == "supagruen-cheatsheet":
        return f"{place}/blob/{row['commit']}/img/{name.removeprefix('img_')}"
    return f"{place}/tree/{row['commit']}"


def damaged(samples: list[Sample]) -> list[Sample]:
    """Make what a crawl brings home beside images; each fault is told in its key."""
    photograph = next(sample.members["jpg"] for sample in samples if "jpg" in sample.members)
    painting = next(sample.members["webp"] for sample in samples if "webp" in sample.members)
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(out, "PNG")
    return [
        Sample(
            "damaged-cut", {"jpg": photograph[: len(photograph) // 3], "json": b'{"made": "a photograph cut short"}'}
        ),
        Sample("damaged-cut-webp", {"webp": painting[: len(painting) // 2], "json": b'{"made": "an image cut short"}'}),
        Sample(
            "damaged-html",
            {"jpg": b"<!DOCTYPE html><html><title>404</title></html>", "json": b'{"made": "a web page"}'},
        ),
        Sample("damaged-empty", {"jpg": b"", "json": b'{"made": "no bytes"}'}),
        Sample("damaged-none", {"txt": b"a caption and no image", "json": b'{"made": "a sample without an image"}'}),
        Sample("damaged-small", {"png": out.getvalue(), "json": b'{"made": "a tracking pixel"}'}),
    ]


def shards(samples: list[Sample]) -> Iterator[bytes]:
    """Deal the samples out; the second shard has the damaged ones, the last is torn in the middle of an image."""
    for number in range(SHARDS):
        dealt = samples[number::SHARDS]
        if number == 1:
            broken = damaged(samples)
            dealt = [sample for pair in zip(dealt, broken, strict=False) for sample in pair] + dealt[len(broken) :]
        whole_tar, last = tar(dealt)
        yield whole_tar if number < SHARDS - 1 else whole_tar[:last]


def tar(samples: list[Sample]) -> tuple[bytes, int]:
    """Write a tar whose bytes depend on the members alone; also tell where the last image's middle lies."""
    out = io.BytesIO()
    middle = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, members in samples:
            for extension, content in members.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size, member.mode = len(content), 0o644
                if extension != "json":
                    middle = out.tell() + tarfile.BLOCKSIZE + int(len(content) * TORN_SHARE)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue(), middle


def readme(text: str, samples: list[Sample]) -> str:
    """Renew the table behind the mark: source and licence of every image."""
    lines = ["| key | label | generator | source | licence |", "|---|---|---|---|---|"]
    for sample in sorted(samples):
        told = json.loads(sample.members["json"])
        source = f"[{told['source']}]({told['url']})"
        lines.append(f"| {sample.key} | {told['label']} | {told['generator']} | {source} | {told['licence']} |")
    return text.partition(MARK)[0] + MARK + "\n\n" + "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A WebDataset key: nothing behind its first dot, no folder."""
    return name.replace(".", "_").replace(" ", "_")


if __name__ == "__main__":
    main()
