"""Laws of what a promotion judges on; the whole flow is walked in tests/jobs/test_walkthrough.py."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import ModelError, SettingsError
from pipeline.registry import Registry
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.manifest import MANIFEST
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import TRAIN
from pipeline.tune.judging.promote import PromoteSettings, measured, promote, untouched
from tests.tiny import tiny_checkpoint


def manifest(rows: dict[str, str]) -> bytes:
    """Write the manifest of a version whose samples are named by their digests."""
    samples = [Sample(f"{name}.jpg", number % 2, "source") for number, name in enumerate(rows)]
    table = to_table(samples).append_column("digest", pa.array(list(rows)))
    sink = io.BytesIO()
    pq.write_table(table.append_column("split", pa.array(list(rows.values()))), sink)
    return sink.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> tuple[Registry, str, str]:
    registry = Registry(str(tmp_path / "models"))
    old = {"a": TEST, "b": TEST, "c": TRAIN}
    new = {"b": TRAIN, "c": TEST, "d": TEST, "a": TEST}
    digests = [
        registry.add(tiny_checkpoint(tmp_path / str(seed), seed=seed), {MANIFEST: manifest(rows)})
        for seed, rows in ((1, old), (2, new))
    ]
    return registry, digests[0], digests[1]


def test_both_are_judged_on_test_images_of_either_that_neither_learned_from(place: tuple[Registry, str, str]) -> None:
    registry, old, new = place
    assert sorted(sample.uri for sample in untouched(registry, [new, old])) == ["a.jpg", "d.jpg"]
    assert sorted(sample.uri for sample in untouched(registry, [old])) == ["a.jpg", "b.jpg"]


def test_nothing_to_judge_on_is_refused_before_anything_is_scored(place: tuple[Registry, str, str]) -> None:
    registry, old, new = place
    registry.promote(old, "first", replacing=None)
    with pytest.raises(SettingsError, match="one class"):
        promote(PromoteSettings(registry=registry.url, candidate=new), print)
    with pytest.raises(SettingsError, match="is promoted already"):
        promote(PromoteSettings(registry=registry.url, candidate=old), print)
    assert registry.promoted() == old


def test_a_candidate_that_is_no_version_or_was_changed_by_hand_is_refused(
    place: tuple[Registry, str, str], tmp_path: Path
) -> None:
    registry, _, new = place
    with pytest.raises(SettingsError, match=f"--candidate 'none' is no version of .*; it has .*{new}"):
        promote(PromoteSettings(registry=registry.url, candidate="none"), print)
    config = Path(registry.version(new)) / "config.json"
    config.write_text(config.read_text().replace("Apache-2.0", "mine"))
    with pytest.raises(ModelError, match="changed by hand"):
        measured(registry, new, [], print)


@pytest.mark.parametrize("flags", [[], ["--candidate", "x", "--rollback"]])
def test_either_a_candidate_or_a_rollback_is_wanted(flags: list[str]) -> None:
    with pytest.raises(SettingsError, match="either --candidate DIGEST or --rollback"):
        PromoteSettings.from_command_line(["--registry", "r", *flags])
