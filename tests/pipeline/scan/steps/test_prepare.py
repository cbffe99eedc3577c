"""Prepare: every image gives exactly one row, and its faults do not affect other rows."""

import numpy as np
import pyarrow as pa
import pytest

from mole.views.preprocess import Preprocess
from pipeline.images.decode import Bounds
from pipeline.records import FETCHED, Status
from pipeline.scan.steps import prepare as module
from pipeline.scan.steps.prepare import decode_in_process, prepare
from tests.fuzzing.seeds import seeds
from tests.imagefiles import png, saved, scene

BOUNDS = Bounds(1 << 22, 4_000_000)
SOUND = saved(scene(), "PNG")


def fetched(*images: bytes) -> pa.Table:
    place = {"unit": "u", "last": False, "uri": "file:///u", "key": "k", "offset": None, "length": None}
    rows = [
        place | {"index": index, "bytes": len(data), "data": data, "status": None, "detail": None}
        for index, data in enumerate(images)
    ]
    return pa.Table.from_pylist(rows, FETCHED)


def prepared(spec: Preprocess, *images: bytes) -> pa.Table:
    return prepare(fetched(*images), spec, decode_in_process(spec, BOUNDS))


def statuses(table: pa.Table) -> list[str]:
    """The statuses, after a look that pixels are there for the sound ones alone."""
    found: list[str] = table["status"].to_pylist()
    assert [pixels is None for pixels in table["pixels"].to_pylist()] == [status != Status.OK for status in found]
    return found


@pytest.mark.parametrize("mode", ["crop", "resize", "texture-4", "resize+crop"])
def test_sides_that_no_column_holds_cost_their_row_alone(mode: str) -> None:
    zeros = np.zeros((1, 64), np.uint8)
    huge = [png(zeros, 8, 0, size=size) for size in ((2**31 + 5, 64), (64, 2**31), (2**32 - 1, 2**32 - 1))]
    rows = prepared(Preprocess.named(mode), SOUND, *huge, SOUND)
    assert statuses(rows) == [Status.OK, *[Status.TOO_LARGE] * 3, Status.OK]
    assert rows["width"].to_pylist() == [96, None, None, None, 96]
    assert "2,147,483,653 x 64" in rows["detail"][1].as_py()


@pytest.mark.parametrize(
    "error", [MemoryError("of 9 GiB"), RecursionError("deep"), ZeroDivisionError("x"), KeyError(1)]
)
@pytest.mark.parametrize("place", ["declared_provenance", "views", "decode"])
def test_whatever_an_image_raises_is_its_row(place: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    own = getattr(module, place)
    marked = saved(scene("L"), "BMP")

    def sometimes(first: bytes | np.ndarray, *rest: object) -> object:
        if first == marked if isinstance(first, bytes) else (first[0] == first[2]).all():  # the one without colours
            raise error
        return own(first, *rest)

    monkeypatch.setattr(module, place, sometimes)
    rows = prepared(Preprocess(), SOUND, marked, SOUND)
    status = Status.TOO_LARGE if isinstance(error, MemoryError) else Status.UNSUPPORTED
    assert statuses(rows) == [Status.OK, status, Status.OK]
    assert type(error).__name__ in rows["detail"][1].as_py()
    assert rows["content_hash"].null_count == 0


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "x" * 600 + "\udfff"])
def test_a_value_that_no_column_holds_is_left_out_and_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = iter([{"software": "sound"}, {"software": text}, {"software": "nul \0 inside"}])
    monkeypatch.setattr(module, "declared_provenance", lambda *_: next(facts))
    rows = prepared(Preprocess(), SOUND, SOUND, SOUND)
    assert statuses(rows) == [Status.OK] * 3
    assert rows["provenance"].is_null().to_pylist() == [False, True, False]
    assert "no column holds its provenance" in rows["detail"][1].as_py()


def test_every_seed_of_the_mutations_is_sound_or_of_an_unread_kind() -> None:
    found = statuses(prepared(Preprocess(), *seeds()))
    assert set(found) == {Status.OK, Status.UNSUPPORTED}
    assert found.count(Status.UNSUPPORTED) == 2  # of 32-bit integers, and Truevision's
