"""Laws of attempts: a task whose workers died twice is suspected, and no other."""

import os

import ray

from pipeline.runtime.task_attempts import is_poison_suspected


@ray.remote(max_retries=3)
def dying(place: str, deaths: int) -> tuple[bool, int]:
    """Die as often as asked, each time with a note, then say whether this attempt is suspected."""
    with open(place, "a+") as notes:
        notes.seek(0)
        before = len(notes.read())
        if before < deaths:
            notes.write("x")
            notes.flush()
            os._exit(1)
    return is_poison_suspected(), before


def test_a_task_is_suspected_once_two_of_its_workers_died(local_ray: None, tmp_path: object) -> None:
    asked = [dying.remote(f"{tmp_path}/{deaths}", deaths) for deaths in (0, 1, 2)]
    assert ray.get(asked) == [(False, 0), (False, 1), (True, 2)]


def test_outside_a_task_nothing_is_suspected(local_ray: None) -> None:
    assert not is_poison_suspected()
