"""Laws of the settings of browsing."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.review.browsing.settings import BrowseSettings


def test_labels_lie_beside_the_table_where_nothing_else_is_said(tmp_path: Path) -> None:
    def folder(*flags: str) -> str:
        return BrowseSettings.from_command_line(list(flags)).labels_folder

    assert folder("--table", f"{tmp_path}/verdicts/") == f"{tmp_path}/labels"
    assert folder("--table", "s3://lake/a/verdicts") == "s3://lake/a/labels"
    assert folder("--table", "s3://lake/verdicts", "--labels", "said/") == str(Path("said").absolute())
    with pytest.raises(SettingsError, match="--labels is required: --table 's3://lake' has no parent folder"):
        folder("--table", "s3://lake")


def test_who_labels_is_the_user_where_nobody_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    assert BrowseSettings.from_command_line(["--table", "t"]).labeller == "grace"
    assert BrowseSettings.from_command_line(["--table", "t", "--labeller", "ada"]).labeller == "ada"
    with pytest.raises(SettingsError, match="--port must be at most 65535"):
        BrowseSettings.from_command_line(["--table", "t", "--port", "70000"])
