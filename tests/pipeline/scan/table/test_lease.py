"""Lease: concurrent runs are locked out, a dead holder is replaced, and a run without the lease cannot write."""

import getpass
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from mole.errors import HeldError, StorageError
from pipeline.scan.table import lease
from pipeline.scan.table.lease import EXPIRY_SECONDS, LEASE_FILE, Holder, Lease
from pipeline.storage import storage
from pipeline.storage.guard import Guard


def put(output: str, holder: Holder) -> None:
    """Write a lease as another run would have."""
    storage.write(storage.join(output, LEASE_FILE), json.dumps(asdict(holder)).encode())


@pytest.fixture
def output(tmp_path: Path) -> str:
    """An output folder."""
    return str(tmp_path / "verdicts")


def test_a_held_output_is_refused_with_the_holders_host_user_command_and_age(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["scan.py", "--source", "https://me:secret@host/a.tar?sig=secret"])
    with Lease(output), pytest.raises(HeldError) as refused, Lease(output):
        pass
    told = str(refused.value)
    who = f"process {os.getpid()} of {getpass.getuser()} on {platform.node()} "
    assert f"{who}(scan.py --source 'https://***@host/a.tar?***'), started 0:00:00 ago" in told
    assert "pid:[" not in told and "secret" not in told
    assert refused.value.exit_code == 7


def test_a_lease_of_a_version_that_told_less_is_read(output: str) -> None:
    words = asdict(replace(Holder.this_process(), host="another machine"))
    storage.write(
        storage.join(output, LEASE_FILE),
        json.dumps({name: value for name, value in words.items() if name not in ("user", "command")}).encode(),
    )
    with pytest.raises(HeldError, match=r"process \d+ on another, started 0:00:00 ago"), Lease(output):
        pass


def test_a_lease_is_given_back(output: str) -> None:
    with Lease(output):
        assert lease.read(output) is not None
    assert lease.read(output) is None
    with Lease(output):
        pass


def test_a_process_of_this_machine_that_is_gone_holds_nothing(output: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    put(output, replace(Holder.this_process(), process=child.pid, born=lease.started(child.pid)))
    with pytest.raises(HeldError, match=str(child.pid)), Lease(output):
        pass
    child.communicate(b"\n")
    with Lease(output) as mine:
        lease.check(output, mine.generation)


def test_a_reused_process_id_holds_nothing(output: str) -> None:
    put(output, replace(Holder.this_process(), born=-10.0))
    with Lease(output):
        pass


def test_a_holder_of_this_machine_stays_alive_when_the_clock_is_set(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(output):
        later = [  # the kernel tells when it booted by the clock of now
            f"btime {int(line.split()[1]) + 3600}" if line.startswith("btime") else line
            for line in Path("/proc/stat").read_text().splitlines()
        ]
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "stat").write_text("\n".join(later))
        (tmp_path / "proc" / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
        before = psutil.Process().create_time()
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
        assert psutil.Process().create_time() - before > 3000
        with pytest.raises(HeldError), Lease(output):
            pass


def test_a_process_of_another_machine_with_this_ones_name_is_not_looked_for_here(output: str) -> None:
    name, _, space = Holder.this_process().host.split(" ")
    gone = replace(Holder.this_process(), host=f"{name} another-boot {space}", born=-10.0)
    put(output, gone)
    with pytest.raises(HeldError), Lease(output):
        pass
    put(output, replace(gone, beat=time.time() - EXPIRY_SECONDS - 1))
    with Lease(output):
        pass


def test_a_holder_elsewhere_is_dead_when_its_signs_of_life_stop(output: str) -> None:
    elsewhere = replace(Holder.this_process(), host="another machine")
    put(output, elsewhere)
    with pytest.raises(HeldError, match="another"), Lease(output):
        pass
    put(output, replace(elsewhere, beat=time.time() - EXPIRY_SECONDS - 1))
    with Lease(output):
        pass


def test_a_new_run_fences_the_workers_of_the_old_one(output: str) -> None:
    old = Holder.this_process()
    put(output, replace(old, born=-10.0))
    with Lease(output) as new:
        lease.check(output, new.generation)
        with pytest.raises(HeldError, match="must not write any more"):
            lease.check(output, old.generation)
    with pytest.raises(HeldError, match="is gone: another run took it"):
        lease.check(output, new.generation)


def test_of_two_runs_that_find_a_dead_holder_the_later_one_leaves_the_other_its_lease(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(output, replace(Holder.this_process(), born=-10.0))
    other, remove = replace(Holder.this_process(), host="another machine"), storage.remove

    def remove_later(url: str, *, guard: Guard | None = None) -> None:
        """Remove a file, after another run has taken the lease."""
        put(output, other)
        remove(url, guard=guard)

    monkeypatch.setattr(storage, "remove", remove_later)
    with pytest.raises(HeldError, match="was just taken"), Lease(output):
        pass
    assert lease.read(output) == other


def test_a_lease_that_was_taken_away_is_not_given_back(output: str) -> None:
    with Lease(output):
        other = replace(Holder.this_process(), host="another machine")
        put(output, other)
    assert lease.read(output) == other


def test_the_error_that_ends_a_run_is_told_though_its_lease_cannot_be_removed(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, *, guard: Guard | None = None) -> None:
        raise StorageError(f"cannot remove {url!r}: read-only")

    with pytest.raises(StorageError, match="cannot remove"), Lease(output):
        monkeypatch.setattr(storage, "remove", refuse)
    with pytest.raises(StorageError, match="cannot write a part"), Lease(f"{output}-2"):
        raise StorageError("cannot write a part: read-only")


def test_a_holder_shows_signs_of_life(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.02)
    with Lease(output):
        first = later = lease.read(output)
        assert first is not None
        patience = time.monotonic() + 60  # of a busy machine; it takes 0.02 s
        while later is not None and later.beat == first.beat and time.monotonic() < patience:
            time.sleep(0.02)
            later = lease.read(output)
    assert later is not None and later.beat > first.beat
