"""What is shown is never less than what is written nor more than there is, and what is written once a wave has ended."""

from pipeline.telemetry.counts import Counts
from pipeline.telemetry.progress import SCORING, Progress

REAL, FAULT = ("ok", "real"), ("empty", None)


def scoring(told: int, silent: int = 0, limit: int | None = None) -> Progress:
    progress = Progress()
    progress.expect(told, silent, limit)
    progress.enter(SCORING)
    return progress


def test_images_count_as_they_are_scored_and_what_is_written_corrects_them() -> None:
    progress = scoring(60)
    progress.set_worker_counts(Counts({REAL: 15, FAULT: 1}), ahead=31)
    assert progress.done_and_total() == (31, 60) and progress.images == 0
    assert str(progress).startswith("31 of 60 images, ") and "15 real, 1 fault (1 empty)" in str(progress)
    progress.set_worker_counts(Counts({REAL: 80, FAULT: 2}), ahead=82)  # a task began again and was counted twice
    assert progress.done_and_total() == (60, 60)
    progress.add({REAL: 38, FAULT: 2})
    progress.settle()
    assert progress.done_and_total() == (40, 60) and progress.facts()["verdicts"] == {"real": 38}
    progress.set_worker_counts(Counts({REAL: 5}))
    assert progress.done_and_total() == (45, 60)


def test_rows_that_nobody_counted_before_they_were_written_are_counted_then() -> None:
    progress = scoring(60)
    progress.set_worker_counts(Counts({REAL: 10}))
    progress.add({REAL: 30})  # copies with --dedupe, or the progress counter is gone
    assert progress.done_and_total() == (30, 60) and (progress.images, progress.faults) == (30, 0)


def test_a_total_is_known_once_every_shard_has_told() -> None:
    progress = scoring(10, silent=2)
    progress.set_worker_counts(Counts({REAL: 7}))
    assert progress.done_and_total() == (7, None) and str(progress) == "7 images, 7 real, 0 faults"
    progress.add_expected(40)
    assert progress.done_and_total() == (7, None)
    progress.add_expected(50)
    assert progress.done_and_total() == (7, 100) and str(progress).startswith("7 of 100 images")
    progress.add_expected(1)  # a second pass reads what a first left out
    assert progress.done_and_total() == (7, 100)
    assert scoring(10, silent=1, limit=5).total == scoring(10, limit=5).total == 5 and scoring(3, limit=5).total == 3


def test_more_images_than_were_expected_are_never_more_than_all() -> None:
    progress = scoring(3)
    progress.add({REAL: 5})
    assert progress.done_and_total() == (5, 5) and "left" not in str(progress)


def test_phases_count_on_their_own_and_their_seconds_are_kept() -> None:
    progress = Progress()
    progress.enter("listing")
    progress.found("7 units")
    assert str(progress) == "listing, 7 units" and progress.done_and_total() == (0, None)
    progress.enter("training", 20, "steps")
    assert str(progress) == "training: 0 of 20 steps"
    progress.advance(2, faults=1)
    progress.reach(8)
    assert str(progress).startswith("training: 8 of 20 steps, ") and str(progress).endswith("s left, 1 fault")
    assert {"done": 8, "total": 20, "of": "steps", "faults": 1}.items() <= progress.facts().items()
    progress.enter("listing")
    progress.enter("")
    assert list(progress.phases) == ["listing", "training"] and min(progress.phases.values()) >= 0
    assert progress.images == 0


def test_the_ending_tells_what_is_written_alone() -> None:
    progress = scoring(60)
    progress.set_worker_counts(Counts({REAL: 50}))
    progress.add({REAL: 16, FAULT: 1})
    assert progress.final_line() == "17 of 60 images written, 16 real, 1 fault (1 empty)"
