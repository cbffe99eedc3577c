"""CSV and TSV: no quote swallows rows silently, and a field of several lines stays one field."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mole.errors import SettingsError
from pipeline.scan.reading.delimited_text import DelimitedTable, Record, is_place

COLUMNS = ("url", "caption")


def read(text: str, form: str = "csv", columns: tuple[str, ...] = COLUMNS) -> list[Record]:
    """Read records as a listing does, counting lines."""
    count = 0

    def lines() -> list[str]:
        return text.splitlines(keepends=True)

    def counted() -> object:
        nonlocal count
        for line in lines():
            count += 1
            yield line

    return list(DelimitedTable("l.csv", form, columns, columns[0]).records(counted(), lambda: count))  # type: ignore[arg-type]


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs", "Zl", "Zp", "Cc"]))


@given(st.lists(st.tuples(st.integers().map("{}.jpg".format), FIELDS), max_size=8))
def test_what_a_csv_writer_writes_is_read_as_it_was(rows: list[tuple[str, str]]) -> None:
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\n").writerows(rows)
    assert read(held.getvalue()) == [list(row) for row in rows]


def test_a_field_of_several_lines_stays_one() -> None:
    assert read('a.jpg,"one\ntwo, ""three""\n\nfour"\nb.jpg,x\n') == [
        ["a.jpg", 'one\ntwo, "three"\n\nfour'],
        ["b.jpg", "x"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        '0.jpg,a cat\n1.jpg,"Hello world\n2.jpg,a dog\n3.jpg,x\n4.jpg,"quoted" end\n5.jpg,y\n',
        '0.jpg,a cat\n1.jpg,"Hello world\n2.jpg,a dog\n3.jpg,x\n',
        '0.jpg,a cat\n1.jpg,"Hello world\n2.jpg,a dog\n3.jpg,24"\n4.jpg,y\n',
        '0.jpg,a cat\n1.jpg,"Hello world\nhttps://a/b?c=d,a dog\n3,24"\n',
    ],
)
def test_a_quote_that_swallows_rows_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(SettingsError, match=r"l.csv: line 2: a quoted field takes in \d more lines.*Parquet"):
        read(text)


def test_a_quote_within_one_line_is_read_leniently_for_no_row_is_lost() -> None:
    assert read('a.jpg,"quoted" end\nb.jpg,6" x 4"\n') == [["a.jpg", "quoted end"], ["b.jpg", '6" x 4"']]


def test_tsv_has_no_quotes() -> None:
    text = 'a.jpg\t"Hello\nb.jpg\t"quoted" end\r\n\nc.jpg\t\n'
    assert read(text, "tsv") == [["a.jpg", '"Hello'], ["b.jpg", '"quoted" end'], ["c.jpg", ""]]


def test_a_field_may_be_as_long_as_an_image() -> None:
    long = "x" * 3_000_000
    assert read(f"a.jpg,{long}\n") == [["a.jpg", long]]


def test_an_end_of_line_where_none_can_be_is_refused() -> None:
    with pytest.raises(SettingsError, match="l.csv: line 1: no CSV"):
        list(DelimitedTable("l.csv", "csv", COLUMNS, "url").records(["a.jpg,one\rtwo\n"], lambda: 1))


def test_a_nul_is_a_character() -> None:
    assert read("a\0.jpg,x\n") == [["a\0.jpg", "x"]]


@pytest.mark.parametrize(
    ("text", "told"), [("a.jpg", True), ("s3://a/b", True), ("a/b", True), ("and/or maybe", False), ("so", False)]
)
def test_a_place_is_told_from_prose(text: str, told: bool) -> None:
    assert is_place(text) is told


def test_a_carriage_return_within_a_field_of_several_lines_stays_a_character() -> None:
    assert list(
        DelimitedTable("l.csv", "csv", ("url", "text"), "url").records(['a.jpg,"one\n', "two,\rthree.jpg\n", '"\n'])
    ) == [["a.jpg", "one\ntwo,\rthree.jpg\n"]]
