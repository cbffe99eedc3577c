"""The folder of a scan's verdicts is named after what is scanned, and lies where the user stands."""

import json
from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.command.default_output import default_output, reason_for_none, require_own_output
from pipeline.runtime.submission import JOB_CONFIG


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with photographs and shards."""
    for name in ("desk/photos/2026.old/a.jpg", "desk/shards/a.tar", "desk/shards/b.tar", "desk/c{1}.tar/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (["photos/"], "photos"),
        (["./photos"], "photos"),
        (["photos/2026.old"], "2026.old"),
        (["photos/2026.old/a.jpg"], "a"),
        (["."], "desk"),
        (["photos/.."], "desk"),
        (["shards/a.tar"], "a"),
        (["x.tar.zst"], "x"),
        (["list.parquet"], "list"),
        (["shards/{a,b}.tar"], "shards"),
        (["shards/*.tar"], "shards"),
        (["*.jpg"], "desk"),
        (["**/*.jpg"], "desk"),
        (["c{1}.tar"], "c{1}.tar"),
        (["shards/a.tar", "shards/b.tar"], "shards"),
        (["photos/", "shards/a.tar"], "desk"),
        (["/srv/a", "/srv/b"], "srv"),
    ],
)
def test_it_has_the_name_of_the_folder_or_file_or_of_the_innermost_folder_with_all_of_them(
    here: Path, sources: list[str], name: str
) -> None:
    assert default_output(sources) == f"{name}-verdicts"


def test_what_has_no_name_gives_none(here: Path) -> None:
    assert default_output(["/"]) == default_output(["/srv", "/etc"]) == "verdicts"
    assert default_output([f"file://{here}/photos"]) == "photos-verdicts"


def test_the_reason_why_nothing_follows_names_what_stands_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason_for_none(["photos/", "file:///srv/a.tar"], "files") == ""
    assert "'https://***@example.org/a.tar' is not on" in reason_for_none(
        ["a", "https://u:p@example.org/a.tar"], "files"
    )
    assert reason_for_none(["photos/"], "iceberg").startswith("a catalog's table")
    assert reason_for_none([], "files").startswith("no source")
    monkeypatch.setenv(JOB_CONFIG, "{}")
    assert reason_for_none(["photos/"], "files").startswith("a submitted job")


def test_a_folder_that_another_scan_filled_is_refused_and_ones_own_is_not(tmp_path: Path) -> None:
    photos, others, output = tmp_path / "photos", tmp_path / "others" / "photos", str(tmp_path / "photos-verdicts")
    require_own_output(output, [str(photos)])  # nothing is there yet
    (tmp_path / "photos-verdicts" / "_runs").mkdir(parents=True)
    record = {"job": "scan", "settings": {"source": [str(photos)]}}
    (tmp_path / "photos-verdicts" / "_runs" / "a.json").write_text(json.dumps(record))
    require_own_output(output, [f"{photos}/"])
    with pytest.raises(SettingsError, match=f"already holds the verdicts of {photos}; name another folder"):
        require_own_output(output, [str(others)])
