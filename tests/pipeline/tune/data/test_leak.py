"""Laws of the leak: what a classifier of file properties can separate."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from pipeline.tune.data.leak import COLUMNS, Leak, column, measure, standard_error
from pipeline.tune.data.survey import SURVEY


def rows(count: int, **columns: Sequence[object]) -> pa.Table:
    """Write rows of a survey that differ by chance alone, but for the columns given."""
    draw = np.random.default_rng(0)
    plain = {
        "format": ["jpeg"] * count,
        "quality": draw.integers(70, 99, count).tolist(),
        "width": draw.integers(300, 900, count).tolist(),
        "height": draw.integers(300, 900, count).tolist(),
        "aspect": draw.random(count).tolist(),
        "bytes_per_pixel": draw.random(count).tolist(),
        "exif": (draw.random(count) < 0.5).tolist(),
        "icc": [False] * count,
        "xmp": [False] * count,
    } | columns
    full = [plain.get(name, [None] * count) for name in SURVEY.names]
    return pa.Table.from_arrays(
        [pa.array(value, field.type) for value, field in zip(full, SURVEY, strict=True)], schema=SURVEY
    )


def leak_of(table: pa.Table, groups: list[str] | None = None) -> Leak:
    """Measure with labels that alternate."""
    return measure(
        table, [place % 2 for place in range(len(table))], groups or [str(place) for place in range(len(table))]
    )


def test_what_differs_by_chance_leaks_nothing() -> None:
    leak = leak_of(rows(400))
    assert leak.auc is not None and abs(leak.auc - 0.5) < 0.1
    assert leak.low is not None and leak.high is not None and leak.low < 0.5 < leak.high


def test_a_format_of_one_class_leaks_and_is_named() -> None:
    leak = leak_of(rows(200, format=["jpeg", "png"] * 100))
    assert leak.auc == 1.0
    assert next(iter(leak.columns.items())) == ("format", 1.0)


def test_a_quality_that_one_class_lacks_leaks() -> None:
    qualities: list[object] = [90 if place % 2 else None for place in range(200)]
    assert leak_of(rows(200, quality=qualities)).columns["quality"] == 1.0


def test_a_column_that_no_file_has_tells_nothing() -> None:
    assert (leak_of(rows(100, quality=[None] * 100, format=["png"] * 100)).auc or 0) < 0.75


def test_two_columns_that_tell_only_together_are_found() -> None:
    draw = np.random.default_rng(1)
    first, second = draw.integers(0, 2, 600), np.arange(600) % 2
    leak = leak_of(rows(600, exif=(first == 1).tolist(), icc=((first ^ second) == 1).tolist()))
    assert leak.auc is not None and leak.auc > 0.95
    assert leak.columns["exif"] < 0.65 > leak.columns["icc"]


def test_bytes_per_pixel_are_reported_only() -> None:
    leak = leak_of(rows(200, bytes_per_pixel=[0.1, 0.9] * 100))
    assert leak.columns["bytes_per_pixel"] == 1.0
    assert leak.auc is not None and leak.auc < 0.65
    assert "bytes_per_pixel" not in COLUMNS


def test_what_belongs_together_does_not_vouch_for_itself() -> None:
    sizes = np.repeat(np.random.default_rng(2).integers(300, 9000, 40), 10).tolist()
    labels = np.repeat(np.random.default_rng(3).permutation(40) % 2, 10).tolist()
    own = [f"g{place // 10}" for place in range(400)]
    alone = [str(place) for place in range(400)]
    grouped, leaky = (measure(rows(400, width=sizes), labels, groups).auc or 0 for groups in (own, alone))
    assert grouped < 0.75 < 0.95 < leaky


def test_too_few_groups_are_not_evaluated() -> None:
    assert leak_of(rows(8)) == Leak(None, None, None, {}, 8)
    assert leak_of(rows(100), ["one"] * 100).auc is None


def test_the_same_rows_give_the_same_figures() -> None:
    assert leak_of(rows(120)) == leak_of(rows(120))


def test_categories_are_numbered_by_how_common_they_are() -> None:
    table = rows(4, format=["png", "jpeg", "jpeg", None], quality=[1, None, 3, 4])
    assert column(table, "format").tolist() == [1, 0, 0, -1]
    assert column(table, "quality").tolist() == [1, -1, 3, 4]


@pytest.mark.parametrize(("auc", "images", "error"), [(0.5, 100, 0.041), (0.9, 50, 0.031), (1.0, 50, 0.0)])
def test_the_standard_error_shrinks_with_images_and_certainty(auc: float, images: int, error: float) -> None:
    assert standard_error(auc, images, images) == pytest.approx(error, abs=0.0015)
