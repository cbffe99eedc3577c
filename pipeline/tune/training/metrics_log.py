"""Metrics log: what a running training reports on the terminal, in TensorBoard, and in MLflow if it is installed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tensorboardX import SummaryWriter

from pipeline.storage import storage
from pipeline.tune.data.collection import Log
from pipeline.tune.training.task import INTERPOLATION_EPOCH
from pipeline.tune.training.trainer import epoch_files

try:
    import mlflow
except ImportError:
    mlflow = None

POLL_SECONDS = 2.0


@contextmanager
def logging_epochs(run: str, log: Log) -> Iterator[None]:
    """Report each epoch as soon as the workers have written its metrics to the run's folder, until the block ends.

    Args:
        run: the folder URL of the run; TensorBoard's events go below it if it is local.
        log: receives one line per epoch.
    """
    ended = threading.Event()
    metrics = MetricsLog(run, log)

    def follow() -> None:
        """Report new epochs until the block ends."""
        while not ended.wait(POLL_SECONDS):
            metrics.read()

    thread = threading.Thread(target=follow, name="metrics-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        metrics.read()
        metrics.close()


class MetricsLog:
    """Reads the metrics of a run and reports each epoch once."""

    def __init__(self, run: str, log: Log) -> None:
        self.run, self.log = run, log
        self.logged = set(epoch_files(run))
        self.board = SummaryWriter(storage.join(run, "tensorboard")) if storage.is_local(run) else None
        if mlflow is not None:
            mlflow.start_run(run_name=run.rsplit("/", 1)[-1])

    def read(self) -> None:
        """Report new epochs."""
        for file in epoch_files(self.run):
            if file not in self.logged:
                self.logged.add(file)
                self._log(json.loads(storage.read(file)))

    def _log(self, epoch: dict[str, Any]) -> None:
        self.log(epoch_line(epoch))
        if epoch["epoch"] == INTERPOLATION_EPOCH:
            return
        if self.board is not None:
            for name, value in scalars(epoch).items():
                self.board.add_scalar(name, value, epoch["step"])
            self.board.flush()
        if mlflow is not None:
            mlflow.log_metrics(scalars(epoch), step=epoch["step"])

    def close(self) -> None:
        """Close TensorBoard's events and MLflow's run."""
        if self.board is not None:
            self.board.close()
        if mlflow is not None:
            mlflow.end_run()


def scalars(epoch: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of an epoch under their names in TensorBoard and MLflow."""
    single = {name: epoch[name] for name in ("loss", "gate_entropy", "images_per_second") if epoch[name] is not None}
    loads = {f"load/expert_{number}": load for number, load in enumerate(epoch["load"])}
    return single | loads | {f"validation_auroc/{name}": score for name, score in epoch["validation"].items()}


def epoch_line(epoch: dict[str, Any]) -> str:
    """Format an epoch as a line."""
    if epoch["epoch"] == INTERPOLATION_EPOCH:
        tried = ", ".join(f"{share}: {score:.3f}" for share, score in epoch["shares"].items())
        return f"mean validation AUROC by share of the new adapters: {tried}"
    speed, loss = epoch["images_per_second"], epoch["loss"]
    phase = "head fitted" if speed is None else "warm-up" if loss is None else f"loss {loss:.4f}"
    line = f"{epoch['stage']}: epoch {epoch['epoch']}, step {epoch['step']}: {phase}"
    if epoch["validation"]:
        lowest = min(epoch["validation"], key=lambda name: epoch["validation"][name])
        line += f", validation AUROC best mean {epoch['best']:.3f}"
        line += f", lowest {epoch['validation'][lowest]:.3f} ({lowest})"
    return line if speed is None else f"{line}, {speed:.1f} images/s"
