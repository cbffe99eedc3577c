"""Cluster: connects to a running Ray or starts a local one, and plans the scorers' layout on it."""

import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext, TaskPoolStrategy

from mole.errors import ModelError, MoleError, SettingsError, StorageError
from pipeline.runtime.loopback import on_loopback
from pipeline.runtime.machine import (
    CPU_BATCH,
    CPU_ROWS_PER_FILE,
    GPU_BATCH,
    GPU_ROWS_PER_FILE,
    require_gpu,
    target,
)
from pipeline.runtime.ray_session import muted, ray_session

OBJECT_STORE_BYTES_PER_CORE = 256 << 20
"""Size of a local Ray's object store per core: enough for the blocks in flight; Ray Data fills whatever it is given."""
NICENESS = "5"
"""Niceness of a local Ray's workers, below interactive work. With Ray's default of 15 they starve beside any busy
process: 36 images took 347 s beside a computation on both cores, and 46 s with this."""
GC_SETTINGS = "pipeline.runtime.gc_settings"
"""The module that a local Ray's workers import first."""
IDLE_MILLISECONDS = "60000"
"""How long a local Ray keeps a worker without a task. By default it ends one after a second where there are more than
cores, and one more writes parts: every few seconds a process then starts, for a core second (docs/performance.md)."""
LOCAL_RAY = {
    "RAY_worker_niceness": NICENESS,
    "RAY_preload_python_modules": GC_SETTINGS,
    "RAY_idle_worker_killing_time_threshold_ms": IDLE_MILLISECONDS,
}
"""Settings of a local Ray's processes, where the environment has none."""
HOST_AND_PORT = re.compile(r"(?:ray://)?([^/:]+):(\d+)")
NOT_STARTED = "timed out during startup"
"""Part of the text by which alone Ray tells that its processes did not start in time."""
RAY_ADVICE = "\nFailed to apply UDF"
"""Where Ray's own advice begins, which it appends to the message of a worker's error."""
CONNECT_TIMEOUT = 10.0
"""Seconds within which a cluster's head must accept a connection."""
BATCHES_PER_CALL = 4
CALLS_PER_CORE = 4
"""Calls of scorers that must fit the object store for each core: those under way, and one that is being made."""
BLOCKS_PER_STORE = 24
"""Blocks that must fit the object store. Ray Data nearly stalls with room for few: 10,000 small images took 18 s with
room for 13 blocks, and were not done after 150 s with room for 6."""


@dataclass(frozen=True)
class Layout:
    """The layout of a scan on a cluster.

    Attributes:
        cores: CPU cores of all nodes.
        device: `cuda` or `cpu`.
        actors: scorer actors; one per GPU, or one per node on CPUs.
        threads: torch threads of a scorer on CPU.
        batch_size: images per forward pass.
        rows_per_file: rows per file of the table.
        resource: custom Ray resource of which each scorer takes one, to place it; None for none.
        store: bytes of the object stores of all nodes.
        nodes: for each slot of a scorer, the node that has it.
    """

    cores: int
    device: str
    actors: int
    threads: int
    batch_size: int
    rows_per_file: int
    resource: str | None
    store: int
    nodes: tuple[str, ...]

    def rows_per_call(self, image_bytes: int) -> int:
        """Return the number of images per scorer call: several batches, to amortize the cost of a call.

        Args:
            image_bytes: bytes of an image's views.
        """
        room = self.store // (CALLS_PER_CORE * self.cores * self.batch_size * image_bytes)
        return min(max(1, room), BATCHES_PER_CALL) * self.batch_size

    def size_blocks(self, target: int) -> None:
        """Set the size of Ray Data's blocks, so that what a task has made goes on before it has made all.

        Args:
            target: bytes of a block; fewer where the object store has no room for many of them.
        """
        context = DataContext.get_current()
        context.target_max_block_size = min(target, self.store // BLOCKS_PER_STORE)
        context.raise_original_map_exception = True  # so that `unwrapped_errors` finds the worker's exception

    @property
    def resources(self) -> dict[str, Any]:
        """The resources that a scorer requests from Ray.

        On CPU it requests none: the prepare tasks hold the cores and wait while the model is the bottleneck.
        """
        wanted: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1} if self.device == "cuda" else {"num_cpus": 0}
        return wanted if self.resource is None else wanted | {"resources": {self.resource: 1}}


@contextmanager
def connected(address: str | None, *, logs: bool, device: str = "auto") -> Iterator[None]:
    """Connect to a cluster: the named one, that of a submitted job, or a local Ray started for this run.

    Args:
        address: the cluster's address.
        logs: show Ray's output.
        device: the requested device; a local Ray is not started if `cuda` is not available.

    Raises:
        SettingsError: there is no cluster at the address, or no GPU.
        StorageError: a local Ray did not start in time, or lost one of its processes.
    """
    require_gpu(device, address)
    quiet(logs=logs)
    chosen = target(address)
    store = OBJECT_STORE_BYTES_PER_CORE * (os.cpu_count() or 1)
    os.environ.update(LOCAL_RAY | os.environ)
    local_options: dict[str, Any] = (
        {"object_store_memory": store, "include_dashboard": False} if chosen == "local" else {}
    )
    started_here = not ray.is_initialized()
    try:
        if started_here:
            _require_listener(chosen)
            with nullcontext() if logs else muted(), on_loopback(chosen), _own_sigterm():
                made: Any = ray.init(
                    chosen, log_to_driver=logs, logging_level=logging.INFO if logs else logging.ERROR, **local_options
                )
    except (ConnectionError, ValueError) as reason:
        raise SettingsError(f"no Ray responds at {chosen!r}: {reason}; start it or omit --ray-address") from reason
    except Exception as reason:
        if NOT_STARTED not in str(reason):
            raise
        raise StorageError(
            "Ray did not start within 30 s: the machine is overloaded or out of memory; start the run again"
        ) from reason
    with redirect_stdout(sys.stderr):  # Ray prints errors of its processes to stdout, which is for results
        try:
            if device == "cuda":
                plan_layout(device, actors=None, batch_size=None, rows_per_file=None)
            with (
                ray_session(Path(made.address_info["session_dir"])) if started_here and local_options else nullcontext()
            ):
                yield
        finally:
            if started_here:
                with _own_sigterm():
                    ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Install this process's handler of SIGTERM again: `ray.init` sets one that exits at once, `ray.shutdown` none."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def quiet(*, logs: bool) -> None:
    """Hide Ray Data's log lines and progress bars, unless requested."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = logs
    context.print_on_execution_start = logs
    if not logs:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _require_listener(address: str) -> None:
    """Check that a server listens at a cluster's address; Ray itself would retry for minutes.

    Raises:
        ConnectionError: none does.
    """
    found = HOST_AND_PORT.fullmatch(address)
    try:
        if found:
            socket.create_connection((found[1], int(found[2])), timeout=CONNECT_TIMEOUT).close()
    except OSError as reason:
        raise ConnectionError(str(reason)) from reason


def plan_layout(
    device: str,
    *,
    actors: int | None,
    batch_size: int | None,
    rows_per_file: int | None,
    resource: str | None = None,
) -> Layout:
    """Derive the layout from the settings and the cluster's resources.

    Raises:
        SettingsError: a GPU or custom resource is requested and the cluster has none, or fewer than actors.
    """
    available = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores, gpus = int(available.get("CPU", 1)), int(available.get("GPU", 0))
    chosen = ("cuda" if gpus else "cpu") if device == "auto" else device
    nodes = _slots(resource or ("GPU" if chosen == "cuda" else None))
    wanted = actors or len(nodes)
    if resource is not None and not 1 <= wanted <= len(nodes):
        raise SettingsError(
            f"--score-resource {resource!r} with {wanted} actors needs as many of it, this Ray has {len(nodes)}; "
            "start nodes with it, or lower --num-actors"
        )
    if chosen == "cuda" and not gpus:
        raise SettingsError("--device cuda, but no node of this Ray has a GPU; add one, or omit --device")
    if chosen == "cuda" and wanted > gpus:
        raise SettingsError(
            f"--num-actors {wanted} need a GPU each, and this Ray has {gpus}; give {gpus} at most, or add nodes"
        )
    return Layout(
        cores=cores,
        device=chosen,
        actors=wanted,
        threads=max(1, cores // wanted),
        batch_size=batch_size or (GPU_BATCH if chosen == "cuda" else CPU_BATCH),
        rows_per_file=rows_per_file or (GPU_ROWS_PER_FILE if chosen == "cuda" else CPU_ROWS_PER_FILE),
        resource=resource,
        store=int(available["object_store_memory"]),
        nodes=nodes,
    )


def _slots(resource: str | None) -> tuple[str, ...]:
    """List the node of each unit of a resource, or each node with cores where none is named, in turns."""
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if resource is None:
        with_cores = [node for node in nodes if node["Resources"].get("CPU")]
        return tuple(node["NodeID"] for node in with_cores or nodes)
    slots = [(number, node["NodeID"]) for node in nodes for number in range(int(node["Resources"].get(resource, 0)))]
    return tuple(node for _, node in sorted(slots, key=lambda slot: slot[0]))


def write_resources() -> dict[str, Any]:
    """Return Ray Data's resource options of the write stages.

    They request no core, or prepare tasks would block them; and at most half as many run as there are cores, or Ray
    would start a process for each waiting part, which costs more than writing it.
    """
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    return {"num_cpus": 0, "compute": TaskPoolStrategy(size=max(1, cores // 2))}


@contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Re-raise the original error of a worker, in its own words, instead of Ray's wrapper.

    Raises:
        MoleError: raised by a worker.
        ModelError: the detector did not load in its actor.
        StorageError: Ray lost its head or an object store.
    """
    try:
        yield
    except ray.exceptions.RayError as reason:
        raise _original_error(reason) from reason


def _original_error(error: BaseException) -> MoleError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MoleError) and not isinstance(cause, ray.exceptions.RayError):
            cause.args = (str(cause).partition(RAY_ADVICE)[0],)
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    if isinstance(error, ray.exceptions.ActorDiedError):
        return ModelError(f"a scorer did not start: {error}")
    return StorageError(f"Ray failed: {error}")
