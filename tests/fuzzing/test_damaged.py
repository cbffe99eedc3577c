"""Damaged images: 5,000 of every format and kind of damage break no promise of a scan."""

import pytest

from pipeline.records import Status
from tests.fuzzing.damaged import SAID, Tally, try_all
from tests.fuzzing.mutation import EXTENSIONS, KINDS, image

COUNT = 5_000


@pytest.mark.slow
def test_no_damaged_image_ends_its_process_or_leaves_its_row_or_its_bounds() -> None:
    tally = Tally()
    for shard in try_all(COUNT, seed=1):
        tally.add(shard)
    assert tally.broken == []
    assert tally.images == tally.statuses.total() == COUNT
    assert set(tally.statuses) >= SAID - {Status.EMPTY}, "damage of too few kinds"
    assert tally.slowest[0] > 0 and tally.largest > 0


def test_the_same_seed_gives_the_same_images_of_every_kind_and_name() -> None:
    made = [image(number, 5) for number in range(600)]
    assert made[:50] == [image(number, 5) for number in range(50)] != [image(number, 6) for number in range(50)]
    names = [name.partition("-")[2] for name, _ in made]
    assert {name.partition(".")[0] for name in names} == set(KINDS)
    assert {name.partition(".")[2] for name in names} == set(EXTENSIONS)
