"""Laws of groups, exclusions and splits."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.split import NEAR_BITS, components, exclude, groups, near_pairs, split_of
from pipeline.tune.data.survey import SURVEY

FAR = 0x0123456789ABCDEF


def rows(*told: Mapping[str, object]) -> pa.Table:
    """Write rows of a survey, each far from the others where nothing else is said."""
    plain = [
        {"place": at, "digest": f"d{at}", "phash": (FAR * (2 * at + 1)) % 2**64, "status": "ok"}
        for at in range(len(told))
    ]
    return pa.Table.from_pylist([row | dict(more) for row, more in zip(plain, told, strict=True)], SURVEY)


def some(*labels: int) -> list[Sample]:
    return [Sample(f"/{at}.jpg", label, "x") for at, label in enumerate(labels)]


def test_what_is_alone_is_its_own_group() -> None:
    assert groups(some(0, 1, 0), rows({}, {}, {})) == ["d0", "d1", "d2"]


def test_a_declared_group_stays_together_and_draws_copies_in() -> None:
    samples = [replace(some(0)[0], group="pair"), replace(some(1)[0], group="pair"), *some(0, 0)[1:]]
    assert groups(samples, rows({}, {}, {"digest": "d0"})) == ["pair", "pair", "pair"]


def test_near_pictures_share_a_group_and_far_ones_do_not() -> None:
    near, far = {"phash": FAR ^ 0b1111}, {"phash": FAR ^ 0b11111}
    assert groups(some(0, 0, 1), rows({"phash": FAR}, near, far))[:2] == ["d0", "d0"]
    assert groups(some(0, 1), rows({"phash": FAR}, far)) == ["d0", "d1"]


def test_nearness_is_handed_on() -> None:
    chain = [{"phash": FAR ^ (2**bits - 1)} for bits in (0, 4, 8, 12)]
    assert set(groups(some(0, 0, 1, 1), rows(*chain))) == {"d0"}


def test_no_near_pair_is_missed_and_none_is_invented() -> None:
    draw = np.random.default_rng(0)
    seeds = draw.integers(0, 2**63, 60, np.uint64)
    flips = [sum(1 << int(bit) for bit in draw.choice(64, draw.integers(0, 9), replace=False)) for _ in range(240)]
    hashes = [int(seeds[at % 60]) ^ flip for at, flip in enumerate(flips)]
    found = components(near_pairs(pa.chunked_array([pa.array(hashes, pa.uint64())])), len(hashes))
    close = [(a, b) for a, b in combinations(range(240), 2) if (hashes[a] ^ hashes[b]).bit_count() <= NEAR_BITS]
    wanted = components(np.array(close), len(hashes))
    assert len(set(zip(found.tolist(), wanted.tolist(), strict=True))) == len(set(wanted.tolist()))
    assert len(set(found.tolist())) == len(set(wanted.tolist())) < 240


def test_a_fault_has_no_picture_to_be_near_to() -> None:
    broken: dict[str, object] = {"phash": None, "digest": None, "status": "missing"}
    assert groups(some(0, 0, 1), rows(broken, broken, {})) == ["/0.jpg", "/1.jpg", "d2"]


def test_identical_bytes_that_disagree_are_all_left_out_and_named() -> None:
    same: dict[str, object] = {"digest": "same"}
    left = exclude(some(0, 1, 0, 1), rows(same, same, same, {}))
    assert left.kept == [3]
    assert left.reasons == Counter({"identical bytes with both labels": 3})
    assert left.named[:2] == [
        ("identical bytes with both labels", "/0.jpg", "here real"),
        ("identical bytes with both labels", "/1.jpg", "here fake"),
    ]


def test_identical_bytes_that_agree_are_kept_once() -> None:
    same: dict[str, object] = {"digest": "same"}
    left = exclude(some(0, 0, 1), rows(same, same, {}))
    assert left.kept == [0, 2]
    assert str(left) == "1 left out (identical bytes again)"


def test_a_fault_is_left_out_by_its_name() -> None:
    left = exclude(some(0, 1), rows({"status": "truncated", "detail": "ends early"}, {}))
    assert left.kept == [1]
    assert left.named == [("truncated", "/0.jpg", "ends early")]


def test_a_split_depends_on_the_group_alone() -> None:
    shares = {"validation": 0.1, "calibration": 0.15, "test": 0.15}
    before = {f"g{number}": split_of(f"g{number}", 0, shares) for number in range(50)}
    assert before == {f"g{number}": split_of(f"g{number}", 0, shares) for number in reversed(range(50))}
    assert before != {group: split_of(group, 1, shares) for group in before}


def test_shares_come_out_as_asked() -> None:
    shares = {"validation": 0.1, "calibration": 0.15, "test": 0.25}
    counts = Counter(split_of(f"group-{number}", 0, shares) for number in range(10_000))
    assert counts.keys() == {"train", *shares}
    for name, share in (shares | {"train": 0.5}).items():
        assert abs(counts[name] / 10_000 - share) < 0.02


@pytest.mark.parametrize("shares", [{"test": 1.0}, {"a": 0.6, "b": 0.5}, {"a": -0.1}])
def test_shares_that_leave_nothing_to_train_on_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="add up to less than 1"):
        split_of("g", 0, shares)
