"""Unit: its name identifies it, and parses to what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scan.reading.unit import Kind, Name, Slice, Unit

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    url=TEXT,
    identity=st.text(st.characters(codec="utf-8", exclude_characters="#:"), max_size=12),
    rows=st.none() | st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)),
    member=st.none() | TEXT,
)
def test_a_name_reads_as_it_was_written(
    url: str, identity: str, rows: tuple[int, int] | None, member: str | None
) -> None:
    assert Name.parse(str(Name(url, identity, rows, member))) == Name(url, identity, rows, member)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("/a/0#.tar#12-34", Name("/a/0#.tar", "12-34")),
        ("s3://b/l.csv#cafe-3:0-256", Name("s3://b/l.csv", "cafe-3", (0, 256))),
        ("x", Name("x", "")),
    ],
)
def test_names_that_tables_hold_are_read(name: str, read: Name) -> None:
    assert Name.parse(name) == read


def test_an_image_is_there_where_a_range_holds_it() -> None:
    unit = Unit("u", "u", Kind.SHARD).without(((0, 2), (5, 6)))
    assert [index for index in range(8) if unit.has(index)] == [0, 1, 5]


def test_a_slice_of_lists_does_not_know_how_many_images_it_holds() -> None:
    assert Slice("embedded", (3, 9), (0, 0)).count == 6
    assert Slice("embedded", (3, 9), (0, 0), images=False).count is None
