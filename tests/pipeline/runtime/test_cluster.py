"""Laws of the layout, and of a Ray of one's own: room in its object store, and workers that collect garbage seldom."""

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.data import DataContext

from mole.errors import SettingsError, StorageError
from pipeline.runtime import cluster
from pipeline.runtime.cluster import BLOCKS_PER_STORE, Layout

CROP, FOUR_CROPS = 3 * 224 * 224, 4 * 3 * 224 * 224


@pytest.fixture
def context() -> Iterator[DataContext]:
    """Ray Data's settings of this process, as they were when the test is over."""
    now = DataContext.get_current()
    kept = now.target_max_block_size
    yield now
    now.target_max_block_size = kept


def layout(batch_size: int, store: int) -> Layout:
    return Layout(
        2,
        "cpu",
        actors=1,
        threads=2,
        batch_size=batch_size,
        rows_per_file=256,
        resource=None,
        store=store,
        nodes=("n",),
    )


@pytest.mark.parametrize(
    ("batch_size", "store", "image", "rows"),
    [
        (16, 512 << 20, CROP, 64),
        (256, 40 << 30, CROP, 1024),
        (256, 256 << 20, CROP, 256),
        (16, 256 << 20, FOUR_CROPS, 48),
        (256, 512 << 20, CROP, 256),
    ],
)
def test_a_call_is_four_batches_or_as_many_as_the_object_store_has_room_for_and_one_at_least(
    batch_size: int, store: int, image: int, rows: int
) -> None:
    assert layout(batch_size, store).rows_per_call(image) == rows


@pytest.mark.parametrize("batch_size", [1, 16, 64, 1024])
@pytest.mark.parametrize("store", [256 << 20, 512 << 20, 40 << 30])
def test_the_object_store_has_room_for_many_blocks_whatever_the_batch(
    batch_size: int, store: int, context: DataContext
) -> None:
    made = layout(batch_size, store)
    made.size_blocks(made.rows_per_call(CROP) * CROP)
    assert context.target_max_block_size is not None
    assert 0 < BLOCKS_PER_STORE * context.target_max_block_size <= store


def test_the_workers_of_a_local_ray_collect_garbage_seldom_and_leave_out_what_stays(local_ray: None) -> None:
    @ray.remote(num_cpus=0)
    def collecting() -> tuple[tuple[int, ...], int]:
        return gc.get_threshold(), gc.get_freeze_count()

    thresholds, left_out = ray.get(collecting.remote())
    assert thresholds[0] > 10_000 and left_out > 10_000


def test_an_error_of_a_worker_is_raised_in_its_own_words(local_ray: None) -> None:
    def refuse(batch: Any) -> Any:
        raise StorageError("part [1] of 's3://lake'\ncannot be read")

    with pytest.raises(StorageError) as raised, cluster.unwrapped_errors():
        ray.data.range(1).map_batches(refuse).materialize()
    assert type(raised.value) is StorageError
    assert str(raised.value) == "part [1] of 's3://lake'\ncannot be read"


AFTER_RAY = """
import os, signal
from pipeline.runtime import cluster
from pipeline.telemetry.terminal import Terminated, handle_sigterm

handle_sigterm()
with cluster.connected(None, logs=False, device="cpu"):
    pass
try:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
except Terminated:
    print("ended in order")
"""


def test_sigterm_ends_a_run_in_order_when_its_ray_has_ended_too() -> None:
    alone = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-c", AFTER_RAY]
    ended = subprocess.run(command, check=False, env=alone, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.strip()) == (0, "ended in order"), ended.stderr


def test_a_gpu_that_this_machine_lacks_is_refused_before_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with (
        pytest.raises(SettingsError, match="^--device cuda, but this machine has no GPU; omit --device"),
        cluster.connected(None, logs=False, device="cuda"),
    ):
        pytest.fail("connected")


def test_a_gpu_that_the_cluster_lacks_is_refused_once_it_is_connected(local_ray: None) -> None:
    if ray.cluster_resources().get("GPU"):  # type: ignore[no-untyped-call]
        pytest.skip("this machine has a GPU")
    with (
        pytest.raises(SettingsError, match="^--device cuda, but no node of this Ray has a GPU"),
        cluster.connected(None, logs=False, device="cuda"),
    ):
        pytest.fail("connected")


def test_an_address_where_nobody_listens_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was asked"))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with (
            pytest.raises(SettingsError, match=f"no Ray responds at '{address}'"),
            cluster.connected(address, logs=False),
        ):
            pass
