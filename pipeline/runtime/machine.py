"""Machine: cores and GPUs of this machine and the defaults that follow from them; imports neither Ray nor torch."""

import os
from glob import glob

from mole.errors import SettingsError
from pipeline.runtime.ray_state import is_connected

GPU_BATCH, CPU_BATCH = 256, 16
GPU_ROWS_PER_FILE, CPU_ROWS_PER_FILE = 50_000, 256
GPU_DRIVERS = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/version", "/dev/dxg", "/dev/kfd")
"""Device files of usable GPUs: NVIDIA's driver, that of WSL, AMD's. Without any, Ray counts no GPU; otherwise Ray's
count decides."""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def require_gpu(device: str, address: str | None) -> None:
    """Check, before anything is read, that a local Ray can provide the requested GPU.

    Args:
        device: the requested device.
        address: of a cluster, which is checked once connected.

    Raises:
        SettingsError: `cuda` is requested and this machine has no GPU, or all are hidden from this process.
    """
    own = target(address) == "local" and not is_connected()
    if device == "cuda" and own and not has_gpu():
        raise SettingsError(
            "--device cuda, but this machine has no GPU; omit --device, or name a cluster with --ray-address"
        )


def has_gpu() -> bool:
    """Tell whether this process may see a GPU, without loading torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    return not hidden and any(glob(pattern) for pattern in GPU_DRIVERS)


def target(address: str | None) -> str:
    """Return the address that Ray is asked for: a cluster's, or `local` for one that is started for this run."""
    return address or os.environ.get("RAY_ADDRESS") or "local"
