"""Laws of the task."""

from pipeline.tune.training.task import Schedule, Stage


def test_stages_follow_each_other_without_a_gap_and_one_may_have_no_epochs() -> None:
    stages = (Stage("one", 2), Stage("head", 0), Stage("all", 3))
    schedule = Schedule(0, 10, stages, penalty=1e-2, head_rate=1e-3, expert_rate=1e-3, decay=0.0, patience=1)
    assert [schedule.bounds(number) for number in range(3)] == [(0, 20), (20, 20), (20, 50)]
    assert (schedule.epochs, schedule.last_step) == (5, 50)
    assert list(schedule) == list(stages)
