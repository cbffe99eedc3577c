"""Executor: both let all tasks of a wave share one quota and one deduplicator, and load a model once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from mole.config import describe
from mole.errors import ModelError
from pipeline.records import MODEL, PREPARED, SCORED
from pipeline.scan.budget import Claimable
from pipeline.scan.executor import KeptScorers, Pending, Scorers
from pipeline.scan.models import ModelRef
from pipeline.scan.table.deduplicator import Claims
from pipeline.telemetry.progress_counter import ProgressReporter
from tests.pipeline.scan.conftest import BATCH_SIZE, ROWS_PER_FILE, Start
from tests.tiny import tiny_checkpoint

CONTENTS = [b"a", b"b", b"a", b"c"]
FAULT = dict.fromkeys(PREPARED.names) | {"unit": "a#1", "index": 0, "last": True, "status": "empty"}


@pytest.fixture
def models(tiny: Path, tmp_path: Path) -> list[ModelRef]:
    """Two models of one backbone."""
    places = [tiny, tiny_checkpoint(tmp_path / "other", adapters=7)]
    return [ModelRef(str(place), describe(place)) for place in places]


class Named(Scorers):
    """Scorers that return what they are given, and are told from others by their models."""

    def submit(self, prepared: pa.Table, reporter: ProgressReporter | None) -> Pending:
        """Return the table."""
        return lambda: prepared


class Starts:
    """Starts scorers and records it, with the moment when they end."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.error: ModelError | None = None

    @contextmanager
    def __call__(self, models: Sequence[ModelRef], reporter: ProgressReporter | None) -> Iterator[Scorers]:
        """Start scorers, unless they are to fail."""
        name = "+".join(model.digest[:4] for model in models)
        if self.error is not None:
            raise self.error
        self.log.append(f"start {name}")
        yield Named()
        self.log.append(f"end {name}")


def test_scorers_are_kept_for_the_same_models_and_end_before_those_of_others_start(models: list[ModelRef]) -> None:
    starts, (one, two) = Starts(), (model.digest[:4] for model in models)
    kept = KeptScorers(starts)
    first = kept.of(models[:1], None)
    assert kept.of(models[:1], None) is first and starts.log == [f"start {one}"]
    assert kept.of(models, None) is not first
    assert starts.log == [f"start {one}", f"end {one}", f"start {one}+{two}"]
    kept.close()
    assert starts.log[-1] == f"end {one}+{two}"


def test_scorers_that_ended_are_never_given_again(models: list[ModelRef]) -> None:
    starts = Starts()
    kept = KeptScorers(starts)
    first = kept.of(models[:1], None)
    starts.error = ModelError("these do not start")
    with pytest.raises(ModelError, match="these do not start"):
        kept.of(models[1:], None)
    starts.error = None
    second = kept.of(models[:1], None)
    assert second is not first
    kept.close()
    assert kept.of(models[:1], None) is not second


def claim_images(quota: Claimable, images: int) -> Iterator[pa.Table]:
    """Claim images one by one, and yield how many were given."""
    yield pa.table({"given": [sum(quota.claim(1) for _ in range(images))]})


def claim_contents(claims: Claims, unit: str) -> Iterator[pa.Table]:
    """Claim contents, as a task that is begun twice does, and yield both answers."""
    names = [f"{unit}#{index}" for index in range(len(CONTENTS))]
    first, again = (claims.claim(CONTENTS, names) for _ in range(2))
    yield pa.table({"first": [first], "again": [again]})


def unchanged(part: pa.Table) -> pa.Table:
    """Hand a part on."""
    return part


def test_the_tasks_of_a_wave_take_no_more_images_together_than_their_quota_has(start: Start) -> None:
    with start() as executor, executor.quota(10) as quota:
        assert (quota.left(), quota.claim(3), quota.left()) == (10, 3, 7)
        tasks = [partial(claim_images, quota, 5) for _ in range(3)]
        given = pa.concat_tables(executor.run(tasks).write(unchanged, 1))["given"].to_pylist()
        assert sum(given) == 7 and quota.left() == quota.claim(1) == 0


def test_each_content_of_a_wave_goes_to_one_image_whatever_tasks_claim_it_and_however_often(start: Start) -> None:
    with start() as executor, executor.claims() as claims:
        tasks = [partial(claim_contents, claims, unit) for unit in ("u", "v", "w")]
        answers = pa.concat_tables(executor.run(tasks).write(unchanged, 1)).to_pylist()
    assert len(answers) == 3 and all(answer["first"] == answer["again"] for answer in answers)
    won = [content for answer in answers for content, mine in zip(CONTENTS, answer["first"], strict=True) if mine]
    assert sorted(won) == [b"a", b"b", b"c"]


def test_what_is_submitted_comes_back_scored_by_each_model_and_the_models_are_loaded_once(
    start: Start, models: list[ModelRef]
) -> None:
    calls = [pa.Table.from_pylist([FAULT | {"index": index} for index in (n, n + 1)], PREPARED) for n in (0, 2)]
    with start() as executor:
        scorers = executor.scorers(models, None)
        assert executor.scorers(models, None) is scorers
        pending = [scorers.submit(call, None) for call in calls]
        for call, result in zip(calls, pending, strict=True):
            scored = result()
            assert scored.schema.equals(SCORED)
            for model in models:
                own = scored.filter(pa.compute.equal(scored[MODEL], model.digest))
                assert own["index"].to_pylist() == call["index"].to_pylist()


def test_calls_are_whole_batches_and_files_have_the_rows_that_the_settings_name(start: Start) -> None:
    with start() as executor:
        assert executor.rows_per_file == ROWS_PER_FILE and executor.cores >= 1
        for image_bytes in (1, 3 * 224 * 224, 1 << 40):
            rows = executor.rows_per_call(image_bytes)
            assert rows >= BATCH_SIZE and rows % BATCH_SIZE == 0
