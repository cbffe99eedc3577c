"""Corpus: what the fuzzers found is replayed, and a target fails where a promise is broken."""

from pathlib import Path

import pytest

from pipeline.scan.reading import fetch as fetch_module
from tests.fuzzing import corpus
from tests.fuzzing.starts import starts
from tests.fuzzing.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_that_a_fuzzer_started_from_or_found_breaks_a_promise(name: str) -> None:
    inputs = [(f"start {number}", data) for number, data in enumerate(starts(name))] + list(corpus.kept(name))
    assert len(inputs) > len(starts(name)), "no input is kept"
    for place, data in inputs:
        try:
            TARGETS[name](data)
        except Exception as reason:
            raise AssertionError(f"{name}, input {place}: {data[:40]!r}") from reason


def test_a_target_fails_where_a_reader_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(fetch_module, "samples", broken)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        TARGETS["archive"](b"")


def test_a_corpus_keeps_the_shortest_inputs_and_gives_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path / "corpora")
    found = tmp_path / "found"
    found.mkdir()
    inputs = {"a": b"1" * 9, "b": b"", "c": b"2" * (corpus.MAX_INPUT_BYTES + 1), f"{corpus.START}0": b"3"}
    for name, data in inputs.items():
        (found / name).write_bytes(data)
    assert corpus.keep("tar", found) < 500
    first = (tmp_path / "corpora" / "tar.tar.xz").read_bytes()
    corpus.unpack("tar", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"000": b"", "001": b"1" * 9}
    corpus.keep("tar", tmp_path / "out")
    assert (tmp_path / "corpora" / "tar.tar.xz").read_bytes() == first
