"""Machine: a GPU that a local Ray would lack is refused, what this process may not use is not counted, in no time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from mole.errors import SettingsError
from pipeline.runtime import machine
from pipeline.runtime.machine import cores, has_gpu, require_gpu, target


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, and a process that no other test has connected to Ray."""
    monkeypatch.setattr(machine, "GPU_DRIVERS", ())
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("address", [None, "", "local"])
def test_a_gpu_that_this_machine_lacks_is_refused_where_ray_is_started_here(address: str | None) -> None:
    with pytest.raises(SettingsError, match=r"^--device cuda, but this machine has no GPU; omit --device.*--ray-addr"):
        require_gpu("cuda", address)


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(("device", "address"), [("auto", None), ("cpu", None), ("cuda", "10.0.0.1:6379")])
def test_what_needs_no_gpu_of_this_machine_is_not_refused(device: str, address: str | None) -> None:
    require_gpu(device, address)


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_is_left_to_the_cluster_of_the_environment_or_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as named:
        named.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        require_gpu("cuda", None)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    require_gpu("cuda", None)


def test_a_driver_is_a_gpu_unless_all_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "GPU_DRIVERS", (f"{tmp_path}/none", f"{tmp_path}/nvidia[0-9]*"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidiactl").touch()
    assert not has_gpu()
    (tmp_path / "nvidia0").touch()
    assert has_gpu()
    for hidden, seen in (("", False), ("-1", False), ("0", True), ("1,0", True)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert has_gpu() is seen, hidden


def test_an_address_that_is_named_goes_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert (target("auto"), target(None)) == ("auto", "10.0.0.1:6379")
    monkeypatch.setenv("RAY_ADDRESS", "")
    assert target(None) == "local"


BOUND = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pipeline.runtime.machine import cores
print(cores(), *{"ray", "torch"} & set(sys.modules))
"""


def test_only_cores_that_a_process_may_use_are_counted_and_neither_ray_nor_torch_is_loaded(root: Path) -> None:
    told = subprocess.run([sys.executable, "-c", BOUND], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1"]
    assert cores() == len(os.sched_getaffinity(0))
