"""One scan of an output at a time; a dead holder is nobody; who lost the lease may not write."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from mole.errors import StorageError
from pipeline import storage
from pipeline.scan.table import lease
from pipeline.scan.table.lease import EXPIRES, FILE, Holder, Lease


def put(output: str, holder: Holder) -> None:
    """Write a lease as another run would have."""
    storage.write(storage.join(output, FILE), json.dumps(asdict(holder)).encode())


@pytest.fixture
def output(tmp_path: Path) -> str:
    """An output folder."""
    return str(tmp_path / "verdicts")


def test_a_held_output_is_refused_with_the_holders_name_and_age(output: str) -> None:
    with (
        Lease(output),
        pytest.raises(StorageError, match=rf"process {os.getpid()} on .*, which took it 0 s ago"),
        Lease(output),
    ):
        pass


def test_a_lease_is_given_back(output: str) -> None:
    with Lease(output):
        assert lease.read(output) is not None
    assert lease.read(output) is None
    with Lease(output):
        pass


def test_a_process_of_this_machine_that_is_gone_holds_nothing(output: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = psutil.Process(child.pid).create_time()
    put(output, replace(Holder.me(), process=child.pid, born=born))
    with pytest.raises(StorageError, match=str(child.pid)), Lease(output):
        pass
    child.communicate(b"\n")
    with Lease(output) as mine:
        lease.check(output, mine.generation)


def test_a_reused_process_id_holds_nothing(output: str) -> None:
    put(output, replace(Holder.me(), born=1.0))
    with Lease(output):
        pass


def test_a_holder_elsewhere_is_dead_when_its_signs_of_life_stop(output: str) -> None:
    elsewhere = replace(Holder.me(), host="another machine")
    put(output, elsewhere)
    with pytest.raises(StorageError, match="another machine"), Lease(output):
        pass
    put(output, replace(elsewhere, beat=time.time() - EXPIRES - 1))
    with Lease(output):
        pass


def test_a_new_run_fences_the_workers_of_the_old_one(output: str) -> None:
    old = Holder.me()
    put(output, replace(old, born=1.0))
    with Lease(output) as new:
        lease.check(output, new.generation)
        with pytest.raises(StorageError, match="may write no more"):
            lease.check(output, old.generation)
    with pytest.raises(StorageError, match="held by nobody"):
        lease.check(output, new.generation)


def test_a_lease_that_was_taken_away_is_not_given_back(output: str) -> None:
    with Lease(output):
        other = replace(Holder.me(), host="another machine")
        put(output, other)
    assert lease.read(output) == other


def test_a_holder_shows_signs_of_life(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    with Lease(output):
        first = lease.read(output)
        time.sleep(0.3)
        later = lease.read(output)
    assert first is not None and later is not None and later.beat > first.beat
