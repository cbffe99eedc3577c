"""Missing files: every job exits with one code before Ray starts, and the message names the file."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import ray

from jobs import (
    audit,
    browse,
    calibrate,
    compact,
    crossvalidate,
    estimate,
    evaluate,
    export,
    finetune,
    pack,
    promote,
    reconstruct,
    report,
    rescan,
    scan,
)
from jobs import tables as look
from pipeline.registry import Registry
from tests.pictures import picture
from tests.tiny import tiny_checkpoint
from tests.verdicts import verdict_row, write_verdicts

Job = Callable[[list[str]], int]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each: images, labelled ones, a table, a checkpoint, a registry, and a manifest of nothing."""
    folder = tmp_path_factory.mktemp("world")
    for seed, name in enumerate(("photos/a.png", "data/real/a.png", "data/fake/b.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(seed, form="png"))
    write_verdicts(folder / "table", [verdict_row("a.tar#1", 0)])
    Registry(str(folder / "models")).add(tiny_checkpoint(folder / "tiny"), {})
    (folder / "m.csv").write_text("path,label,generator,source\na.png,real,photo,coco\n")
    shutil.copytree(folder / "table", folder / "bare")
    shutil.rmtree(folder / "bare" / "model=old")
    return folder


CASES: list[tuple[Job, str, str]] = [
    (scan.main, "--source {}/none/ --output {}/o --model {}/tiny", "none"),
    (scan.main, "--source {}/none.png --output {}/o --model {}/tiny", "none.png"),
    (scan.main, "--source {}/photos --output {}/o --model {}/none", "none' is not there"),
    (scan.main, "--source {}/photos --output {}/o --model {}/tiny --shadow {}/none", "none' is not there"),
    (scan.main, "--source {}/photos --output {}/o --config {}/none.toml", "none.toml"),
    (rescan.main, "--table {}/none --model {}/tiny", "--table '{}/none' is not there"),
    (rescan.main, "--table {}/bare --model {}/tiny", "holds no verdict table"),
    (rescan.main, "--table {}/table --model {}/none", "none' is not there"),
    (rescan.main, "--table {}/table --model 0123abcd", "to name a version by its digest, give --registry"),
    (rescan.main, "--table {}/table --model 0123abcd --registry {}/none", "--registry '{}/none' is not there"),
    (rescan.main, "--table {}/table --model 0123abcd --registry {}/models", "nor a folder; it has "),
    (scan.main, "{}/photos {}/none.png --output {}/o --model {}/tiny", "none.png"),
    (rescan.main, "{}/none --model {}/tiny", "--table '{}/none' is not there"),
    (compact.main, "{}/none", "--table '{}/none' is not there"),
    (estimate.main, "{}/none/ --model {}/tiny", "none"),
    (report.main, "{}/none", "--table '{}/none' is not there"),
    (report.main, "lake.trust.verdicts", "if it is a table of an Iceberg catalog, read it with an engine"),
    (report.main, "{}/bare", "holds no verdict table"),
    (report.main, "{}/table --model 0123", "0123"),
    (browse.main, "{}/none", "--table '{}/none' is not there"),
    (browse.main, "{}/bare", "holds no verdict table"),
    (browse.main, "{}/table --model {}/none", "none' is not there"),
    (export.main, "{}/none --output {}/o", "--table '{}/none' is not there"),
    (export.main, "{}/bare --output {}/o", "holds no verdict table"),
    (export.main, "{}/table --output {}/o --labels {}/none", "none"),
    (look.main, "{}/none", "--table '{}/none' is not there"),
    (look.main, "--table {}/none", "--table '{}/none' is not there"),
    (look.main, "--table {}/bare", "holds no verdict table"),
    (compact.main, "--table {}/none", "--table '{}/none' is not there"),
    (estimate.main, "--source {}/none/ --model {}/tiny", "none"),
    (estimate.main, "--source {}/photos --model {}/none", "none' is not there"),
    (audit.main, "--samples {}/none", "--samples '{}/none' is not there"),
    (audit.main, "--samples {}/none.tar", "--samples '{}/none.tar' is not there"),
    (audit.main, "--samples {}/table --reviews {}/none.csv", "--reviews '{}/none.csv' is not there"),
    (evaluate.main, "--samples {}/none --model {}/tiny", "--samples '{}/none' is not there"),
    (evaluate.main, "--samples {}/data --model {}/none", "none' is not there"),
    (calibrate.main, "--reals {}/none --registry {}/models --collection own --model embedded", "none' is not there"),
    (
        calibrate.main,
        "--reals {}/photos --registry {}/models --collection own --model 0123abcd",
        "nor a folder; it has ",
    ),
    (finetune.main, "--samples {}/data --registry {}/models --base {}/none", "none' is not there"),
    (finetune.main, "--samples {}/data --registry {}/models --init-from 0123abcd", "nor a folder; it has "),
    (reconstruct.main, "--samples {}/none --output {}/o --autoencoder {}/data", "--samples '{}/none' is not there"),
    (reconstruct.main, "--samples {}/data --output {}/o --autoencoder {}/none", "--autoencoder '{}/none' is not there"),
    (promote.main, "--registry {}/none --candidate 0123abcd", "none' is not there"),
    (promote.main, "--registry {}/models --candidate 0123abcd", "--candidate '0123abcd' is no version of"),
    (promote.main, "--registry {}/none --rollback", "none"),
    (
        crossvalidate.main,
        '--samples {}/data --output {}/o --folds [["a"],["b"]] --base {}/none',
        "none' is not there",
    ),
    (pack.main, "--source {}/none.pt --output {}/o --manifest {}/m.csv", "--source '{}/none.pt' is not there"),
    (pack.main, "--source {}/m.csv --output {}/o --manifest {}/none.csv", "none.csv"),
]


@pytest.mark.parametrize(("job", "flags", "words"), CASES, ids=[f"{job.__module__}{flags}" for job, flags, _ in CASES])
def test_what_is_not_there_is_a_refused_setting_in_every_job(
    job: Job, flags: str, words: str, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    assert job(flags.replace("{}", str(world)).split()) == 2
    assert words.replace("{}", str(world)) in capsys.readouterr().err
    assert not list((world / "o").glob("model=*")), "nothing was begun"


DOORS = [
    audit,
    browse,
    calibrate,
    compact,
    crossvalidate,
    estimate,
    evaluate,
    export,
    finetune,
    look,
    pack,
    promote,
    reconstruct,
    report,
    rescan,
    scan,
]
ENDINGS = {
    "audit": [0, 1, 2, 3, 130, 143],
    "browse": [0, 2, 3, 4, 143],
    "calibrate": [0, 2, 3, 4, 5, 130, 143],
    "compact": [0, 2, 3, 5, 7, 130, 143],
    "crossvalidate": [0, 2, 3, 4, 5, 130, 143],
    "estimate": [0, 2, 3, 4, 130, 143],
    "evaluate": [0, 2, 3, 4, 5, 130, 143],
    "export": [0, 2, 3, 5, 7, 130, 143],
    "finetune": [0, 2, 3, 4, 5, 130, 143],
    "pack": [0, 2, 4, 130, 143],
    "promote": [0, 2, 3, 4, 5, 6, 130, 143],
    "reconstruct": [0, 1, 2, 3, 4, 130, 143],
    "report": [0, 2, 3, 130, 143],
    "rescan": [0, 2, 3, 4, 5, 7, 130, 143],
    "scan": [0, 2, 3, 4, 5, 7, 130, 143],
    "tables": [0, 2, 3, 130, 143],
}


def codes(words: str) -> list[int]:
    """Read the exit codes out of a line such as `0 done, 2 settings, 130 Ctrl-C`."""
    parts: Sequence[str] = " ".join(words.split()).split(", ")
    return [int(part.split()[0]) for part in parts if part.split()[0].isdigit()]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_help_tells_every_exit_code(door: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        door.main(["--help"])  # type: ignore[attr-defined]
    told = capsys.readouterr().out
    assert codes(told.partition("exit codes: ")[2].partition("\n\n")[0]) == ENDINGS[door.__name__.rpartition(".")[2]]
    assert "(default: None" not in told and "[]" not in told and "('" not in told


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        ("--source= --output {}/o --model {}/tiny", {}, "--source"),
        ("--source {}/photos --output {}/o --model {}/tiny", {"MOLE_PATIENCE": "abc"}, "MOLE_PATIENCE='abc'"),
        ("--source {}/photos --output {}/m.csv --model {}/tiny", {}, "m.csv' is a file; name a folder"),
        ("--source {}/l.csv --output {}/o --model {}/tiny --carry captoin", {}, "did you mean 'caption'"),
    ],
)
def test_what_would_be_passed_over_in_silence_is_refused(
    flags: str,
    environment: dict[str, str],
    words: str,
    world: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (world / "l.csv").write_text("path,caption\nphotos/a.png,x\n")
    assert scan.main(flags.replace("{}", str(world)).split()) == 2
    assert words in capsys.readouterr().err
