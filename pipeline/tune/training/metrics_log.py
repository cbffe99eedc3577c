"""The journal: what a training says while it runs: on the terminal, in TensorBoard, in MLflow where it is installed."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tensorboardX import SummaryWriter

from pipeline.storage import storage
from pipeline.tune.training.task import MIXING
from pipeline.tune.training.trainer import epoch_files

try:
    import mlflow
except ImportError:
    mlflow = None

POLL_SECONDS = 2.0  # between two looks at what the workers left


@contextmanager
def logging_epochs(run: str, log: Callable[[str], None]) -> Iterator[None]:
    """Tell each epoch as soon as the workers have left its figures in the run's folder, until the block ends.

    Args:
        run: the folder URL of the run; TensorBoard's events go below it where it is local.
        log: receives progress messages, one line each.
    """
    ended = threading.Event()
    journal = MetricsLog(run, log)

    def follow() -> None:
        while not ended.wait(POLL_SECONDS):
            journal.read()

    thread = threading.Thread(target=follow, name="journal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        journal.read()
        journal.close()


class MetricsLog:
    """One reader of a run's figures; an epoch is told once."""

    def __init__(self, run: str, log: Callable[[str], None]) -> None:
        self.run, self.log = run, log
        self.logged = set(epoch_files(run))
        self.board = SummaryWriter(storage.join(run, "tensorboard")) if storage.is_local(run) else None
        if mlflow is not None:
            mlflow.start_run(run_name=run.rsplit("/", 1)[-1])

    def read(self) -> None:
        """Tell what is new."""
        for file in epoch_files(self.run):
            if file not in self.logged:
                self.logged.add(file)
                self._log(json.loads(storage.read(file)))

    def _log(self, epoch: dict[str, Any]) -> None:
        self.log(epoch_line(epoch))
        if epoch["epoch"] == MIXING:
            return
        if self.board is not None:
            for name, value in scalars(epoch).items():
                self.board.add_scalar(name, value, epoch["step"])
            self.board.flush()
        if mlflow is not None:
            mlflow.log_metrics(scalars(epoch), step=epoch["step"])

    def close(self) -> None:
        """End what was begun."""
        if self.board is not None:
            self.board.close()
        if mlflow is not None:
            mlflow.end_run()


def scalars(epoch: dict[str, Any]) -> dict[str, float]:
    """Name the numbers of an epoch as they stand in TensorBoard and MLflow."""
    single = {name: epoch[name] for name in ("loss", "gate_entropy", "images_per_second") if epoch[name] is not None}
    loads = {f"load/expert_{number}": load for number, load in enumerate(epoch["load"])}
    return single | loads | {f"validation_auroc/{name}": score for name, score in epoch["validation"].items()}


def epoch_line(epoch: dict[str, Any]) -> str:
    """Write an epoch as a line."""
    if epoch["epoch"] == MIXING:
        tried = ", ".join(f"{share}: {score:.3f}" for share, score in epoch["shares"].items())
        return f"share of new adapters, mean validation AUROC: {tried}"
    speed, loss = epoch["images_per_second"], epoch["loss"]
    course = "head alone" if speed is None else "only looked" if loss is None else f"loss {loss:.4f}"
    told = f"{epoch['stage']}: epoch {epoch['epoch']}, step {epoch['step']}: {course}"
    if epoch["validation"]:
        lowest = min(epoch["validation"], key=lambda name: epoch["validation"][name])
        told += f", validation AUROC best mean {epoch['best']:.3f}"
        told += f", lowest {epoch['validation'][lowest]:.3f} ({lowest})"
    return told if speed is None else f"{told}, {speed:.1f} images/s"
