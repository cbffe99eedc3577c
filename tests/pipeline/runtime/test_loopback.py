"""Laws of loopback: nobody elsewhere reaches a Ray that a command starts for itself, and a command here can join it."""

import os
import subprocess
import sys

import psutil
import pytest
import ray
from ray._private import ray_constants

from pipeline.runtime.loopback import LOOPBACK, is_kept_on_loopback, on_loopback

JOIN = """
import sys
import ray
from pipeline.runtime import cluster

with cluster.connected(sys.argv[1], logs=False):
    answer = ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote())
print(answer)
"""


def test_a_local_ray_listens_on_loopback_alone(local_ray: None) -> None:
    @ray.remote(num_cpus=0)
    def working() -> int:
        return os.getpid()

    worker = ray.get(working.remote())
    own = psutil.Process()
    family = {process.pid: process.name() for process in [own, *own.children(recursive=True)]}
    listening = [
        (family[found.pid], found.laddr.ip)
        for found in psutil.net_connections("tcp")
        if found.pid in family and found.status == psutil.CONN_LISTEN
    ]
    assert worker in family and {"raylet", "gcs_server"} <= {name for name, _ in listening}
    assert {place for _, place in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening


def test_a_second_driver_joins_a_ray_that_is_kept_on_loopback(local_ray: None) -> None:
    address = ray.get_runtime_context().gcs_address
    assert is_kept_on_loopback(address)
    joined = subprocess.run(
        [sys.executable, "-c", JOIN, address], capture_output=True, text=True, check=False, timeout=300
    )
    assert (joined.returncode, joined.stdout) == (0, "42\n"), joined.stderr


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "ray://127.0.0.1:10001", "ray://head:10001", "127.0.0.1"])
def test_a_ray_elsewhere_is_joined_as_ray_does(address: str) -> None:
    before = ray_constants.ENABLE_RAY_CLUSTER
    with on_loopback(address):
        assert before == ray_constants.ENABLE_RAY_CLUSTER
        assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ


def test_the_setting_of_ray_is_as_before_once_a_local_ray_has_started() -> None:
    before = ray_constants.ENABLE_RAY_CLUSTER
    with on_loopback("local"):
        assert not ray_constants.ENABLE_RAY_CLUSTER
    assert before == ray_constants.ENABLE_RAY_CLUSTER
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ


def test_addresses_of_loopback_are_told_from_others() -> None:
    assert all(map(LOOPBACK.fullmatch, ("127.0.0.1", "127.1.2.3", "localhost", "::1")))
    assert not any(map(LOOPBACK.fullmatch, ("128.0.0.1", "127.0.0.1.example.com", "localhost.example.com", "0.0.0.0")))
