"""Laws of distributed training, on Ray Train itself: the curve is the same whoever trains and whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from mole.config import describe
from mole.preprocess import Preprocess
from pipeline import storage
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.training.draws import Made, lay_down
from pipeline.tune.training.learner import ADAPTERS
from pipeline.tune.training.progress import last_checkpoint
from pipeline.tune.training.task import Course, Task
from pipeline.tune.training.trainer import Trained, history, train
from tests.pictures import picture
from tests.tiny import CONFIG, tiny_checkpoint

DISTANCE = 0.05  # of the last weights, over their length; 0.006 was seen
TOLERANCE = 5e-4  # of a loss near 0.7; sums in another order drift apart, 1.3e-4 was seen
COURSE = Course(looking=2, steps=8, epochs=3, penalty=1e-2, head_rate=1e-3, expert_rate=1e-3, decay=0.0, patience=9)
BATCH = 8
pytestmark = pytest.mark.slow
END = 600.0  # seconds after which waiting for a process is given up


def materials(folder: Path) -> tuple[Path, list[Sample], list[Sample]]:
    """Write a tiny detector and pictures of two sources, whose class shows in their sharpness; the same every time."""
    model = tiny_checkpoint(folder / "base", preprocess=Preprocess(mode="resize"))
    samples = []
    for number in range(30):
        file = folder / "pictures" / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(picture(number, side=400 if number % 2 else 120))
        source = "made" if number % 2 else "photos"
        samples.append(Sample(str(file), number % 2, source, group=f"{number}"))  # the group seeds deliveries
    return model, samples[:22], samples[22:]


def run_training(folder: Path, run: Path, *, processes: int) -> Trained:
    """Train in the Ray that is connected."""
    model, training, validation = materials(folder)
    found = describe(model)
    task = Task(
        base=str(model),
        digest=found.digest,
        keep_adapters=False,
        detector=CONFIG,
        spec=found.preprocess,
        bfloat16=False,
        course=COURSE,
        batch_size=BATCH,
        seed=0,
        run=storage.absolute(str(run)),
        labels=tuple(sample.label for sample in validation),
        sources=tuple(sample.source for sample in validation),
        judges=(),
    )
    kinds = [(sample.label, sample.source) for sample in training]
    draws = lay_down(kinds, epochs=COURSE.epochs, steps=COURSE.steps, batch_size=BATCH, seed=0)
    sets = (Made(to_table(training), found.preprocess), Made(to_table(validation), found.preprocess))
    return train(task, draws, sets, processes=processes, gpu=False)


def losses(trained: Trained) -> list[float]:
    return [loss for epoch in trained.history for loss in epoch["losses"]]


def ended(run: Path) -> torch.Tensor:
    """Read what a run had learned at its last step, all in one row."""
    with last_checkpoint(str(run)) as folder:
        assert folder is not None
        return torch.cat([tensor.flatten() for _, tensor in sorted(load_file(folder / ADAPTERS).items())])


def agree(run: Path, one: Trained, other: Trained, end_P: torch.Tensor) -> None:
    """Compare loss curves, validation, and the last weights (the best ones may be of another epoch, where two are near)."""
    distance = float((ended(run) - end_P).norm() / end_P.norm())
    assert losses(one) == pytest.approx(losses(other), abs=TOLERANCE)
    assert [epoch["validation"] for epoch in one.history] == [
        pytest.approx(epoch["validation"], abs=0.05) for epoch in other.history
    ]
    assert distance < DISTANCE


@pytest.fixture(scope="module")
def undisturbed(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, torch.Tensor]:
    """One process, nobody dies; what it told, and its last weights."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_training(folder, folder / "run", processes=1), ended(folder / "run")


def test_every_step_is_taken_once_and_the_loss_falls(undisturbed: tuple[Trained, torch.Tensor]) -> None:
    trained, _ = undisturbed
    assert len(losses(trained)) == COURSE.last - COURSE.looking
    assert [epoch["step"] for epoch in trained.history] == [8, 16, 24]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert sum(trained.history[-1]["load"]) == pytest.approx(1.0)


def kill_a_worker(driver: psutil.Process) -> bool:
    """Kill a training worker that a driver's Ray started; tell whether one was there."""
    workers = [child for child in driver.children(recursive=True) if "RayTrainWorker" in " ".join(child.cmdline())]
    for worker in workers[-1:]:
        worker.kill()
    return bool(workers)


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    """Wait until something holds, for as long as the driver lives."""
    end = time.monotonic() + END
    while not what() and driver.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def test_two_workers_one_killed_and_then_their_driver_end_where_one_undisturbed_ends(
    undisturbed: tuple[Trained, torch.Tensor], root: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    script = (
        "import sys; from pathlib import Path; from pipeline import cluster; from tests.pipeline.tune.training import test_trainer as t\n"
        "with cluster.connected('local', logs=False):\n"
        "    t.run_training(Path(sys.argv[1]), Path(sys.argv[2]), processes=2)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(run)],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    family = psutil.Process(driver.pid)
    wait_for(lambda: len(history(str(run))) >= 1, driver)
    assert kill_a_worker(family), "the training was over before a worker could be killed"
    wait_for(lambda: len(history(str(run))) >= 2, driver)
    children = family.children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    for child in children:  # Ray ends what its driver leaves behind, after a while; this only makes it soon
        if child.is_running():
            child.kill()
    assert 2 <= len(history(str(run))) < COURSE.epochs, "the driver was not killed within the training"
    agree(run, run_training(tmp_path, run, processes=1), *undisturbed)
