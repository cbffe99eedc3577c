"""Laws of the second road, walked from end to end in one Ray with a tiny detector, as the README walks it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import save

from jobs import audit, finetune, promote, scan
from mole.checkpoint import read_adapters
from mole.config import ADAPTERS, describe
from pipeline.registry import Registry
from pipeline.tune.data.manifest import MANIFEST
from pipeline.tune.evaluation.calibrate import write_version
from tests.tinted import EACH, collect

SHORT = [
    *("--epochs", "2", "--epoch-images", "64", "--head-images", "96", "--penalty", "1e-4", "--batch-size", "8"),
    *("--precision", "float32", "--false-positive-rate", "0.15", "--validation-share", "0.2"),
    *("--calibration-share", "0.2", "--test-share", "0.25", "--accept-leak"),
]
Job = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and two generators."""
    layout = {"photos": "photos/0_real", "red": "red/1_fake", "blue": "blue/1_fake"}
    return collect(tmp_path_factory.mktemp("known"), layout)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs that look like what the first generator made, and a third one."""
    return collect(tmp_path_factory.mktemp("other"), {"sunsets": "sunsets/0_real", "green": "green/1_fake"})


@pytest.fixture
def job(local_ray: None, capsys: pytest.CaptureFixture[str]) -> Job:
    """Run a job's door with --json; its exit code and what it printed."""

    def run(door: Any, *flags: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = door.main([*map(str, flags), "--json"])
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out.strip() else {"err": told.err}

    return run


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry that the tests of this file fill, one after the other."""
    return Registry(str(tmp_path_factory.mktemp("registry") / "models"))


@pytest.mark.slow
def test_a_trained_version_is_measured_and_the_first_one_is_promoted_and_scans(
    job: Job, known: Path, models: Registry, tiny: Path, tmp_path: Path
) -> None:
    code, made = job(finetune, "--samples", known, "--registry", models.url, "--base", tiny, "--view", "resize", *SHORT)
    assert code == 0
    rows = made["evaluation"]["rows"]
    assert {row["generator"] for row in rows} == {"red", "blue"}
    assert min(row["auroc"] for row in rows) > 0.9
    assert (Path(models.version(made["digest"])) / "curves.png").read_bytes().startswith(b"\x89PNG")
    code, promoted = job(
        promote, "--registry", models.url, "--candidate", made["digest"], "--max-false-positive-rate", "0.4"
    )
    assert (code, promoted["passed"], models.promoted()) == (0, True, made["digest"])
    code, scanned = job(scan, "--source", known, "--output", tmp_path / "verdicts", "--model", models.url)
    assert (code, scanned["model"], scanned["images"]) == (0, made["digest"], 3 * EACH)


@pytest.mark.slow
def test_a_first_version_that_guesses_is_refused_and_nothing_is_promoted(
    job: Job, models: Registry, tmp_path: Path
) -> None:
    good = describe(Path(models.version(str(models.promoted()))))
    bad = write_version(tmp_path / "bad", good, good.calibration, {"parent": good.digest})
    upside_down = {name: -tensor if name.startswith("head.") else tensor for name, tensor in read_adapters(bad).items()}
    (bad / ADAPTERS).write_bytes(save(upside_down))
    place = Registry(str(tmp_path / "models"))
    digest = place.add(bad, {MANIFEST: models.read(good.digest, MANIFEST)})
    flags = ["--registry", place.url, "--candidate", digest, "--max-false-positive-rate", "0.9"]
    code, told = job(promote, *flags)
    assert code == 6 and "cannot be found" in told["err"] and place.promoted() is None
    code, refused = job(promote, *flags, "--base", good.folder)
    assert (code, refused["promotion"], place.promoted()) == (6, None, None)
    assert refused["against"] == f"its base {good.digest}"
    assert {"red, original", "blue, original"} <= {row["what"] for row in refused["rows"] if not row["holds"]}


@pytest.mark.slow
def test_the_first_promotion_is_taken_back_to_the_base_and_a_scan_of_the_registry_takes_that(
    job: Job, known: Path, models: Registry, tiny: Path, tmp_path: Path
) -> None:
    first = str(models.promoted())
    code, entry = job(promote, "--registry", models.url, "--rollback")
    assert code == 0 and entry["digest"] == describe(tiny).digest == models.promoted()
    code, scanned = job(scan, "--source", known / "red", "--output", tmp_path / "verdicts", "--model", models.url)
    assert (code, scanned["model"]) == (0, entry["digest"])
    models.promote(first, "again", replacing=entry["digest"])


@pytest.mark.slow
def test_the_same_command_again_trains_nothing_and_finds_the_same_version(
    job: Job, known: Path, models: Registry, tiny: Path
) -> None:
    before = models.digests()
    code, made = job(finetune, "--samples", known, "--registry", models.url, "--base", tiny, "--view", "resize", *SHORT)
    assert code == 0 and made["digest"] in before and before == models.digests()


@pytest.mark.slow
def test_a_candidate_that_forgot_a_generator_is_refused_and_what_is_promoted_stays(
    job: Job, other: Path, models: Registry
) -> None:
    promoted = str(models.promoted())
    rates = ["--head-lr", "3", "--expert-lr", "1e-2", "--epoch-images", "128"]
    code, made = job(finetune, "--samples", other, "--registry", models.url, "--init-from", promoted, *SHORT, *rates)
    assert code == 0 and made["digest"] != promoted
    code, refused = job(
        promote, "--registry", models.url, "--candidate", made["digest"], "--max-false-positive-rate", "0.4"
    )
    assert (code, refused["passed"], refused["promotion"]) == (6, False, None)
    failing = [row for row in refused["rows"] if not row["holds"]]
    assert any(row["what"].startswith("red") and row["figure"] == "AUROC" for row in failing)
    assert models.promoted() == promoted


@pytest.mark.slow
def test_files_that_give_the_classes_away_stop_a_training_by_the_column_and_the_audit_says_so_too(
    job: Job, known: Path, models: Registry, tiny: Path, tmp_path: Path
) -> None:
    for file in known.rglob("*.jpg"):
        target = (tmp_path / "leaky" / file.relative_to(known)).with_suffix(".png" if "1_fake" in str(file) else ".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(file).save(target)
    code, found = job(audit, "--samples", tmp_path / "leaky")
    assert code == 1 and found["verdict"]["leaks"] and found["columns"]["format"] > 0.95
    flags = [flag for flag in SHORT if flag != "--accept-leak"]
    code, told = job(finetune, "--samples", tmp_path / "leaky", "--registry", models.url, "--base", tiny, *flags)
    assert code == 2 and "format" in told["err"] and "--align" in told["err"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--samples", "nowhere", "--registry", "r"], "nowhere"),
        (["--registry", "r"], "--samples is required"),
        (["--samples", "s", "--registry", "r", "--epochs", "-1"], "--epochs"),
    ],
)
def test_what_a_training_cannot_use_ends_with_the_code_of_settings(job: Job, flags: list[str], words: str) -> None:
    code, told = job(finetune, *flags)
    assert code == 2 and words in told["err"]
