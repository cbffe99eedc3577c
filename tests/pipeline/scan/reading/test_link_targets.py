"""Link targets: bounded in number and bytes, the newest are kept."""

import pytest

from pipeline.scan.reading import link_targets
from pipeline.scan.reading.link_targets import LinkTargets


def test_a_member_is_found_with_its_place_and_its_bytes() -> None:
    known = LinkTargets()
    known.keep("a", 512, 3, b"abc")
    known.keep("b", 1536, 9, None)
    assert known.find("a") == (512, 3, b"abc")
    assert known.find("b") == (1536, 9, None)
    assert known.find("c") is None


def test_of_a_name_that_stands_twice_the_later_one_is_meant() -> None:
    known = LinkTargets()
    known.keep("a", 512, 3, b"old")
    known.keep("a", 1536, 3, b"new")
    assert known.find("a") == (1536, 3, b"new")


def test_places_and_bytes_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_targets, "MAX_PLACES", 10)
    monkeypatch.setattr(link_targets, "MAX_BYTES", 30)
    known = LinkTargets()
    for number in range(100):
        known.keep(str(number), number, 10, bytes(10))
    assert [known.find(str(number)) for number in (89, 96, 99)] == [None, (96, 10, None), (99, 10, bytes(10))]
    assert len(known.bodies) == 3 and len(known.places) == 10


def test_long_names_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_targets, "MAX_NAME_CHARACTERS", 1_000)
    known = LinkTargets()
    for number in range(100):
        for _ in range(2):
            known.keep(f"{number:0100d}", number, 1, None)
    assert len(known.places) == 10 and known.find(f"{99:0100d}") == (99, 1, None)
    assert known.find(f"{89:0100d}") is None
