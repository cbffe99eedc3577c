"""Pictures, shards and faults that tests are made of; seeded, so that two tables can be compared."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, *, form: str = "jpeg", side: int = 64) -> bytes:
    """Encode a smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    held = io.BytesIO()
    Image.fromarray(coarse).resize((side + seed % 7, side), Image.Resampling.BICUBIC).save(held, form)
    return held.getvalue()


def samples(count: int, *, start: int = 0, side: int = 64, different: int | None = None) -> dict[str, bytes]:
    """Make the members of a shard: pictures with their metadata, all different or only so many that are."""
    members: dict[str, bytes] = {}
    drawn = [picture(number, side=side) for number in range(start, start + (different or count))]
    for place, number in enumerate(range(start, start + count)):
        members[f"{number:06}.jpg"] = drawn[place % len(drawn)]
        members[f"{number:06}.json"] = json.dumps({"url": f"https://example.org/{number}"}).encode()
    return members


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    """Write members as a tar, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, body in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(body)
            archive.addfile(facts, io.BytesIO(body))
    return path


def faulty() -> dict[str, bytes]:
    """Make one picture of each fault that bytes can have, and two sound ones around them."""
    sound = picture(1)
    return {
        "a.jpg": sound,
        "cut.jpg": sound[: len(sound) // 2],
        "empty.jpg": b"",
        "page.jpg": b"<html><body>404 not found</body></html>",
        "pixel.png": picture(2, form="png", side=1),
        "foreign.jpg": b"8BPS\0\1" + bytes(20),
        "text.txt": b"no picture at all",
        "z.webp": picture(3, form="webp"),
    }
