"""Scorers: what keeps a detector from loading is raised by each call, and calls of an actor that dies go to another."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import torch

from mole.config import describe
from mole.errors import ModelError, SettingsError
from pipeline.records import PREPARED
from pipeline.scan.scoring_actors import RayScorers, Scorer

ROW = dict.fromkeys(PREPARED.names) | {"unit": "a#1", "index": 0, "last": True, "status": "empty"}
WAITING = pa.Table.from_pylist([ROW] * 3, PREPARED)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a detector loads on the GPU that is there")
def test_a_detector_that_does_not_load_is_an_error_of_the_model_at_each_call(tiny: Path) -> None:
    scorer = Scorer([(str(tiny), describe(tiny).digest)], device="cuda", threads=1, batch_size=4)
    for _ in range(2):
        with pytest.raises(ModelError, match="a scorer did not start"):
            scorer.score(WAITING, None)


def test_a_model_that_is_not_there_is_an_error_of_the_settings(tmp_path: Path) -> None:
    scorer = Scorer([(str(tmp_path / "none"), "digest")], device="cpu", threads=1, batch_size=4)
    with pytest.raises(SettingsError, match="none"):
        scorer.score(WAITING, None)


class Deadly:
    """An actor whose process dies at its first call, unless another one has died before."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def score(self, prepared: pa.Table, reporter: None) -> pa.Table:
        """Answer with the views."""
        try:
            os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return prepared
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        return prepared


@pytest.mark.usefixtures("local_ray")
def test_views_whose_actor_dies_are_scored_by_another(tmp_path: Path) -> None:
    actor: Any = ray.remote(num_cpus=0, max_restarts=-1)(Deadly)
    actors = [actor.remote(str(tmp_path / "mark")) for _ in range(2)]
    scorers = RayScorers(tuple((handle, "elsewhere") for handle in actors))
    try:
        pending = [scorers.submit(WAITING, None) for _ in range(4)]
        assert [one().num_rows for one in pending] == [3] * 4
    finally:
        for handle in actors:
            ray.kill(handle)
    assert (tmp_path / "mark").exists()
