"""A challenger in the same pass has the rows that a scan of its own would have, and the champion loses none."""

from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest

from mole.config import describe
from mole.errors import ModelError, SettingsError
from pipeline.scan import flow
from pipeline.scan.rescan import rescan
from pipeline.scan.settings import RescanSettings, ScanSettings
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import faulty, samples, write_shard
from tests.pipeline.scan.conftest import Scan
from tests.tiny import tiny_checkpoint
from tests.verdicts import verdicts_of

DRIFT = 0.05
Rows = dict[tuple[str, int], tuple[str, float | None, str | None]]


@pytest.fixture(scope="module")
def challenger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other adapters, in more blocks of the same tower."""
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "challenger", adapters=7, blocks=3)


def partitions(output: Path) -> dict[str, Rows]:
    """Read each model's rows."""
    found: dict[str, Rows] = {}
    for folder in output.glob("model=*"):
        rows = pads.dataset(folder, format="parquet").to_table().to_pylist()
        found[folder.name] = {
            (row["unit"], row["index"]): (row["status"], row["logit"], row["verdict"]) for row in rows
        }
        assert len(found[folder.name]) == len(rows), "an image has two rows of a model"
    return found


def equal(one: Rows, other: Rows) -> None:
    """Insist on the same rows; a run may have chosen another precision, which moves logits and no verdict."""
    assert one.keys() == other.keys()
    for place, (status, logit, verdict) in one.items():
        assert (status, verdict) == (other[place][0], other[place][2])
        assert logit == pytest.approx(other[place][1], abs=DRIFT)


def test_a_shadow_has_the_rows_of_its_own_scan_whatever_was_judged_before(
    run: Scan, tiny: Path, challenger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_shard(tmp_path / f"{number}.tar", samples(30, start=30 * number))
    write_shard(tmp_path / "3.tar", faulty())
    shards = [tmp_path / f"{number}.tar" for number in range(4)]
    verdicts_of(shards[0], table=tmp_path / "out", model=describe(tiny).digest)
    alone = run(*shards, output=tmp_path / "alone", model=str(challenger))
    monkeypatch.setattr(flow, "MIN_WAVE_TASKS", 2)
    monkeypatch.setattr(flow, "WAVE_TASKS_PER_CORE", 0)
    both = run(*shards, output=tmp_path / "out", shadow=str(challenger))
    assert (both.model, both.images, both.law) == (describe(tiny).digest, 98, "kept")
    rows = partitions(tmp_path / "out")
    assert len(rows) == 2 and rows.keys() == {Path(both.table).name, Path(alone.table).name}
    equal(rows[Path(alone.table).name], partitions(tmp_path / "alone")[Path(alone.table).name])
    assert rows[Path(both.table).name].keys() == rows[Path(alone.table).name].keys()
    assert run(*shards, output=tmp_path / "out", shadow=str(challenger)).written == 0


def test_a_rescan_with_a_shadow_fills_both_partitions(
    local_ray: None, challenger: Path, tiny: Path, tmp_path: Path
) -> None:
    table = verdicts_of(write_shard(tmp_path / "0.tar", samples(20)), table=tmp_path / "out")
    settings = RescanSettings(table=str(table), model=str(tiny), shadow=str(challenger))
    found = rescan(settings, ProgressDisplay(quiet=True))
    assert (found.chosen, found.written, sum(turn.images for turn in found.turns)) == (20, 20, 20)
    assert [len(rows) for rows in partitions(tmp_path / "out").values()] == [20, 20, 20]
    assert rescan(settings, ProgressDisplay(quiet=True)).written == 0


def test_a_shadow_on_another_tower_is_refused(run: Scan, tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", samples(2))
    other = tiny_checkpoint(tmp_path / "other", seed=5)
    with pytest.raises(ModelError, match="only models that share a known tower"):
        run(tmp_path / "0.tar", output=tmp_path / "out", shadow=str(other))


def test_copies_are_not_scored_again_and_say_whose_verdict_they_have(run: Scan, tmp_path: Path) -> None:
    write_shard(tmp_path / "old.tar", samples(12))
    copies = {name.replace("0000", "copy"): body for name, body in samples(12).items()}
    write_shard(tmp_path / "new.tar", copies | samples(3, start=100) | faulty())
    first = run(tmp_path / "old.tar", output=tmp_path / "out", carry="url")
    run(tmp_path / "new.tar", output=tmp_path / "out", carry="url", dedupe="content")
    rows = pads.dataset(first.table, format="parquet", schema=schema(first.table)).to_table().to_pylist()
    own = {row["content_hash"]: row for row in rows if "old.tar" in row["unit"]}
    new = [row for row in rows if "new.tar" in row["unit"]]
    again = [row for row in new if row["same_as"] is not None]
    assert len(again) == 13 and len(new) == 23  # one picture stands among the faulty ones too
    for row in again:
        origin = own[row["content_hash"]]
        assert row["same_as"] == {"unit": origin["unit"], "index": origin["index"]}
        for name in ("status", "logit", "probability", "verdict", "gates", "width", "height", "format", "provenance"):
            assert row[name] == origin[name]
    assert not list((tmp_path / "out").glob("_known/*"))
    assert sum(row["logit"] is not None for row in new) == 12 + 3 + 2


def schema(table: str) -> Any:
    """Join the schemas of a partition's files, some of which have a column more."""
    return (
        pads.dataset(table, format="parquet")
        .replace_schema(max((fragment.physical_schema for fragment in pads.dataset(table).get_fragments()), key=len))
        .schema
    )


def test_what_is_known_is_one_models() -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        ScanSettings.from_command_line(["--source", "a.tar", "--output", "out", "--shadow", "m", "--dedupe", "content"])
