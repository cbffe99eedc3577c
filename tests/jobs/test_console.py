"""The command `mole-scan`: every job behind one name, its help, what is misspelt, and what a shell completes."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from jobs.console import SCAN_JOBS, TRAIN_JOBS, main
from pipeline.runtime import invocation
from tests.verdicts import verdict_row, write_verdicts

BARE = """
import sys
from jobs.console import main
code = main(sys.argv[1:])
heavy = {"pydantic", "ray", "pyarrow", "duckdb", "torch", "rich", "numpy"} & set(sys.modules)
sys.exit(f"imports {heavy}" if heavy else code)
"""


def test_every_job_has_its_command_and_those_of_the_group_are_the_ones_that_train(root: Path) -> None:
    files = {path.stem for path in (root / "jobs").glob("*.py")} - {"__init__", "console", "interpreter"}
    assert files == SCAN_JOBS.keys() | TRAIN_JOBS.keys()
    assert tuple(TRAIN_JOBS) == invocation.TRAINING_JOBS


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 0, "usage: mole-scan COMMAND"),
        (["--help"], 0, "  scan "),
        (["train"], 0, "  finetune "),
        (["train", "-h"], 0, "usage: mole-scan train COMMAND"),
        (["--version"], 0, f"mole-scan {version('mole-scan')}\n"),
        (["completion"], 0, "mole-scan completion zsh > "),
    ],
)
def test_what_it_says_of_itself_goes_to_stdout(
    words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    shown = capsys.readouterr()
    assert told in shown.out and not shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scna"], "there is no command mole-scan scna; did you mean mole-scan scan?"),
        (["Tables"], "did you mean mole-scan tables?"),
        (["finetune"], "there is no command mole-scan finetune; did you mean mole-scan train finetune?"),
        (["train", "promot"], "there is no command mole-scan train promot; did you mean mole-scan train promote?"),
        (["trian"], "did you mean mole-scan train?"),
        (["xyz"], "there is no command mole-scan xyz; mole-scan --help lists the commands"),
        (["completion", "bsh"], "did you mean mole-scan completion bash?"),
        (["completion", "tcsh"], "there is no command mole-scan completion tcsh; supported shells: bash, zsh, fish"),
    ],
)
def test_a_misspelt_command_is_refused_with_the_nearest(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert told in shown.err and not shown.out


@pytest.mark.parametrize("words", ["--help", "scna", "train --help", "--version"])
def test_neither_help_nor_a_misspelt_name_waits_for_a_jobs_imports(words: str, root: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", BARE, *words.split()], cwd=root, capture_output=True, text=True, check=False
    )
    assert "imports" not in run.stderr and run.returncode == (2 if words == "scna" else 0)


def test_a_job_gets_its_words_its_name_in_help_and_its_exit_code_passes_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_verdicts(tmp_path / "table", [verdict_row("a.tar#1", 0)])
    assert main(["tables", str(table), "--view", "current"]) == 0
    assert "unsure" in capsys.readouterr().out
    assert main(["tables", str(tmp_path / "none")]) == 2
    assert "none' is not there" in capsys.readouterr().err
    for words, usage in (
        ("tables", "usage: mole-scan tables ["),
        ("train promote", "usage: mole-scan train promote ["),
    ):
        with pytest.raises(SystemExit, match="0"):
            main([*words.split(), "--help"])
        assert capsys.readouterr().out.startswith(usage)
    assert invocation.program() is None


def test_a_shell_completes_commands_flags_choices_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "mole-scan.bash").write_text(capsys.readouterr().out)
    (tmp_path / "photos").mkdir()

    def completed(*words: str) -> list[str]:
        asked = 'source mole-scan.bash; COMP_WORDS=(mole-scan "$@"); COMP_CWORD=$#; '
        asked += '"$(complete -p mole-scan | sed "s/.*-F \\([^ ]*\\).*/\\1/")"; printf "%s\\n" "${COMPREPLY[@]}"'
        run = subprocess.run(
            ["bash", "-c", asked, "bash", *words],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not run.stderr
        return run.stdout.split()

    assert {"scan", "rescan", "tables", "train", "completion"} <= set(completed(""))
    assert completed("sc") == ["scan"]
    assert completed("train", "pro") == ["promote"]
    assert completed("scan", "--max-i") == ["--max-images"]
    assert completed("scan", "--device", "") == ["auto", "cpu", "cuda"]
    assert completed("scan", "--model", "pho") == ["photos"]
    assert completed("scan", "pho") == ["photos"]
    assert completed("tables", "--view", "ev") == ["evidence"]
    assert completed("train", "promote", "--can") == ["--candidate"]
