"""What every test may ask for: the real images beside the repository, one local Ray, an S3 server, a tiny detector."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch
from hypothesis import settings

from pipeline.runtime import cluster
from tests.stores import REGION, WRITER, s3_server
from tests.tiny import tiny_checkpoint

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("steady", derandomize=True)  # the same examples at each run; more are tried by hand
settings.load_profile("steady")
torch.set_num_threads(1)  # small tensors: more threads only wait for each other


gc.disable()  # until all is collected: what is imported stays, and is not to be walked over again and again


def pytest_collection_finish() -> None:
    """Leave out of all later garbage collections what was imported and collected."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that two processes end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the repository: labelled images and published weights; a test without it is skipped."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: the labelled images and weights are not on this machine")
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An S3 server on loopback, and the environment that every client of this process and of its Ray finds it by."""
    with s3_server(tmp_path_factory.mktemp("store")) as port:
        os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **WRITER, **REGION}
        yield port


@pytest.fixture(scope="session")
def local_ray(store: int) -> Iterator[None]:
    """A Ray of the tests' own, started once."""
    cluster.quiet(logs=False)
    with cluster.connected("local", logs=False):
        yield
    assert not ray.is_initialized()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector's folder."""
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")
