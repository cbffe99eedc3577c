"""The Ray that a run stands on, its own or one that runs already, and how the detector is laid out on it."""

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
from glob import glob
from typing import Any

import ray
from ray.data import DataContext, TaskPoolStrategy

from mole.errors import ModelError, MoleError, SettingsError, StorageError

OBJECT_STORE_BYTES_A_CORE = 256 << 20
"""Of a local Ray's object store: room for the blocks in flight, and no more, or they fill what they are given."""
NICENESS = "5"
"""Of a local Ray's workers, behind the machine's own business. Ray's own 15 stands still beside any busy process: 36
images took 347 s beside a computation on both cores, and 46 s with this."""
GC_SETTINGS = "pipeline.runtime.gc_settings"
"""What a local Ray's workers import first."""
GPU_BATCH, CPU_BATCH = 256, 16
GPU_ROWS, CPU_ROWS = 50_000, 256
HOST_AND_PORT = re.compile(r"(?:ray://)?([^/:]+):(\d+)")
LISTENS = 10.0
"""Seconds in which a cluster's head must take a connection."""
BATCHES_A_BLOCK = 4
BLOCKS_A_STORE = 24
"""Blocks that the object store has room for. Ray Data stands nearly still if there is room for few: 10,000 small
images took 18 s with room for 13 blocks, and had not ended after 150 s with room for 6."""
DRIVERS = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/version", "/dev/dxg", "/dev/kfd")
"""What a machine has where its GPU can be used: NVIDIA's driver, that of WSL, AMD's. Where none is there, Ray counts no
GPU; where one is, Ray's count decides."""


@dataclass(frozen=True)
class Layout:
    """How the detector is laid out on a cluster.

    Attributes:
        cores: cores of all machines.
        device: `cuda` or `cpu`.
        actors: scorers; on GPUs one each, on CPUs one a machine.
        threads: cores that one scorer's forward pass uses on CPU.
        batch_size: images a forward pass.
        rows_per_file: rows a part of the table.
        resource: of which each scorer takes one, so that it runs where that is; None leaves it to Ray.
        store: bytes of the object stores of all machines.
    """

    cores: int
    device: str
    actors: int
    threads: int
    batch_size: int
    rows_per_file: int
    resource: str | None
    store: int

    def rows_a_call(self, image_bytes: int) -> int:
        """Return how many images a scorer is handed at a time: several batches, so that what a call costs is shared out.

        Args:
            image_bytes: of an image's views.
        """
        room = self.store // BLOCKS_A_STORE // (self.batch_size * image_bytes)
        return min(max(1, room), BATCHES_A_BLOCK) * self.batch_size

    def size_blocks(self, image_bytes: int) -> None:
        """Make Ray Data's blocks a scorer's call long, so that scoring begins after a second and not after a shard.

        Args:
            image_bytes: of an image's views.
        """
        context = DataContext.get_current()
        context.target_max_block_size = min(self.rows_a_call(image_bytes) * image_bytes, self.store // BLOCKS_A_STORE)
        context.raise_original_map_exception = True  # so that `unwrapped_errors` finds the worker's own

    @property
    def resources(self) -> dict[str, Any]:
        """What a scorer asks of Ray.

        On CPU it asks for nothing: prepare tasks hold the cores and wait while the model is what costs, and run where
        it is not.
        """
        wanted: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1} if self.device == "cuda" else {"num_cpus": 0}
        return wanted if self.resource is None else wanted | {"resources": {self.resource: 1}}


@contextmanager
def connected(address: str | None, *, logs: bool, device: str = "auto") -> Iterator[None]:
    """Run inside a cluster: the named one, the one that a submitted job lives in, or a Ray of this run's own.

    Args:
        address: of the cluster.
        logs: show what Ray prints.
        device: that will be asked of it; a Ray of one's own is not even started where `cuda` cannot be had.

    Raises:
        SettingsError: there is no cluster at the address, or no GPU.
    """
    demand_gpu(device, address)
    where = _where(address)
    store = OBJECT_STORE_BYTES_A_CORE * (os.cpu_count() or 1)
    os.environ.setdefault("RAY_worker_niceness", NICENESS)
    os.environ.setdefault("RAY_preload_python_modules", GC_SETTINGS)
    own: dict[str, Any] = {"object_store_memory": store, "include_dashboard": False} if where == "local" else {}
    begun = not ray.is_initialized()
    try:
        if begun:
            _demand_listener(where)
            with nullcontext() if logs else _muted():
                heeded = signal.getsignal(signal.SIGTERM)
                ray.init(where, log_to_driver=logs, logging_level=logging.INFO if logs else logging.ERROR, **own)
                if callable(heeded) and threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, heeded)  # Ray's own handler ends the process where it stands
    except (ConnectionError, ValueError) as reason:
        raise SettingsError(f"no Ray answers at {where!r}: {reason}; start it or leave --ray-address out") from reason
    with redirect_stdout(sys.stderr):  # Ray prints errors of its processes to stdout, where results belong
        try:
            if device == "cuda":
                lay_out(device, actors=None, batch_size=None, rows_per_file=None)
            yield
        finally:
            if begun:
                ray.shutdown()


def quiet(*, logs: bool) -> None:
    """Keep Ray Data's own lines and bars from the terminal, unless they are asked for."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = logs
    context.print_on_execution_start = logs
    if not logs:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)


def _demand_listener(where: str) -> None:
    """Check that somebody listens at a cluster's address; Ray itself would ask there for minutes.

    Raises:
        ConnectionError: nobody does.
    """
    found = HOST_AND_PORT.fullmatch(where)
    try:
        if found:
            socket.create_connection((found[1], int(found[2])), timeout=LISTENS).close()
    except OSError as reason:
        raise ConnectionError(str(reason)) from reason


def demand_gpu(device: str, address: str | None) -> None:
    """Check, before anything is read, that a Ray of this run's own could have the GPU that is asked for.

    Args:
        device: what is asked for.
        address: of a cluster, which would be asked once it is connected.

    Raises:
        SettingsError: `cuda` is asked of this machine, and it has no GPU, or all are hidden from this process.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    own = _where(address) == "local" and not ray.is_initialized()
    if device == "cuda" and own and (hidden or not any(glob(pattern) for pattern in DRIVERS)):
        raise SettingsError(
            "--device cuda, but this machine has no GPU; leave --device out, or name a cluster by --ray-address"
        )


def _where(address: str | None) -> str:
    return address or os.environ.get("RAY_ADDRESS") or "local"


@contextmanager
def _muted() -> Iterator[None]:
    """Send what Ray's C++ core prints at its start to nowhere; an error of the start is an exception all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def lay_out(
    device: str,
    *,
    actors: int | None,
    batch_size: int | None,
    rows_per_file: int | None,
    resource: str | None = None,
) -> Layout:
    """Fill in what the settings leave open from what the cluster has.

    Raises:
        SettingsError: a GPU or another resource is asked for and the cluster has none, or fewer than the actors.
    """
    has = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores, gpus = int(has.get("CPU", 1)), int(has.get("GPU", 0))
    chosen = ("cuda" if gpus else "cpu") if device == "auto" else device
    places = int(has.get(resource, 0)) if resource is not None else gpus if chosen == "cuda" else _machines()
    wanted = actors or places
    if resource is not None and not 1 <= wanted <= places:
        raise SettingsError(
            f"--score-resource {resource!r} with {wanted} actors needs as many of it, this Ray has {places}; "
            "start machines with it, or take fewer"
        )
    if chosen == "cuda" and not gpus:
        raise SettingsError("--device cuda, but no machine of this Ray has a GPU; add one, or leave --device out")
    if chosen == "cuda" and wanted > gpus:
        raise SettingsError(
            f"--num-actors {wanted} take a GPU each, and this Ray has {gpus}; ask for {gpus} at most, or add machines"
        )
    return Layout(
        cores=cores,
        device=chosen,
        actors=wanted,
        threads=max(1, cores // wanted),
        batch_size=batch_size or (GPU_BATCH if chosen == "cuda" else CPU_BATCH),
        rows_per_file=rows_per_file or (GPU_ROWS if chosen == "cuda" else CPU_ROWS),
        resource=resource,
        store=int(has["object_store_memory"]),
    )


def _machines() -> int:
    return sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]


def write_resources() -> dict[str, Any]:
    """Return Ray Data how a verdict's last steps run.

    They ask for no core, else preparing tasks keep them from writing; and half as many run at a time as there are
    cores, else Ray starts a process for each part that waits, which costs more than the part.
    """
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    return {"num_cpus": 0, "compute": TaskPoolStrategy(size=max(1, cores // 2))}


@contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Turn what Ray wraps around an error of a worker back into the error itself.

    Raises:
        MoleError: one that a worker raised.
        ModelError: the detector did not load in its actor.
        StorageError: Ray lost its own head or its object store.
    """
    try:
        yield
    except ray.exceptions.RayError as reason:
        raise _own(reason) from reason


def _own(error: BaseException) -> MoleError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MoleError) and not isinstance(cause, ray.exceptions.RayError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    if isinstance(error, ray.exceptions.ActorDiedError):
        return ModelError(f"a scorer did not start: {error}")
    return StorageError(f"Ray failed: {error}")
