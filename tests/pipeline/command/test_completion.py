"""The script that completes commands knows the flags, choices and places of each job's settings, for every shell."""

import subprocess
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from pipeline.command.completion import Job, script
from pipeline.command.settings import JobSettings
from pipeline.runtime.invocation import SHELLS


class Bakery(JobSettings):
    """Bake a hundred per cent."""

    prefix = "MOLE_BAKERY_"
    positional = "source"

    source: list[str] = Field(description="100 % flour")
    day: Literal["monday", "sunday"] = Field("monday", description="when")
    recipe: Path | None = Field(None, description="a file (default: none)")


JOBS = {"bake": Job("bake bread", Bakery), "sell": Job("sell it's bread", None)}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_the_commands_their_flags_and_choices(shell: str) -> None:
    written = script(shell, JOBS, {"learn": Job("learn to bake", Bakery)})
    for word in ("bake", "sell", "train", "learn", "completion", "day", "monday", "sunday", "recipe", "config"):
        assert word in written
    assert "a hundred per cent" not in written, "a description is pages long"


def test_bash_reads_it_without_a_complaint_and_names_files_where_a_file_is_wanted(tmp_path: Path) -> None:
    written = script("bash", JOBS, {})
    (tmp_path / "mole-scan").write_text(written)
    subprocess.run(["bash", "-n", "mole-scan"], cwd=tmp_path, check=True)
    lines = written.splitlines()
    for action in ("pos_0", "__source", "__recipe", "__config"):
        assert f"_shtab_mole_scan_bake_{action}_COMPGEN=_shtab_compgen_files" in lines
    assert "_shtab_mole_scan_bake___day_choices=(monday sunday)" in lines
