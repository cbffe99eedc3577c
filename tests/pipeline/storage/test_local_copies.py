"""LocalCopies are few, bounded, and go when what they copy has changed."""

import pytest

from pipeline.storage import local_copies
from pipeline.storage.fault import NoRangeError
from pipeline.storage.local_copies import Copy, LocalCopies


def made(data: bytes, identity: str = "1") -> Copy:
    """Make a copy."""
    copy = Copy(identity)
    copy.append(data)
    return copy


def test_a_copy_is_read_and_sought_in() -> None:
    copy = made(b"0123456789")
    with copy.opened() as first, copy.opened() as second:
        assert first.read(3) == b"012" and second.read() == b"0123456789"
        assert first.seek(-2, 2) == 8 and first.read() == b"89"
    assert copy.read(8, 100) == b"89"


def test_those_not_used_go_first_and_their_readers_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copies, "MAX_BYTES", 25)
    kept = LocalCopies()
    kept.keep("a", made(b"a" * 10))
    reader = made(b"a" * 10).opened()
    kept.keep("b", made(b"b" * 10))
    assert kept.get("a") is not None
    kept.keep("c", made(b"c" * 10))
    assert [url for url in "abc" if kept.get(url)] == ["a", "c"]
    assert reader.read() == b"a" * 10
    with pytest.raises(NoRangeError, match="over 25 bytes"):
        made(b"x" * 26)


@pytest.mark.parametrize(("identity", "stays"), [("1", True), ("2", False), ("10-unknown", False)])
def test_a_copy_stays_while_its_file_is_known_to_be_the_same(identity: str, stays: bool) -> None:
    kept = LocalCopies()
    kept.keep("a", made(b"a", "10-unknown" if identity.endswith("unknown") else "1"))
    kept.evict("a", unless=identity)
    assert (kept.get("a") is not None) is stays
