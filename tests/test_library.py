"""Laws of the page for library users: what it shows runs as it stands, and says what it prints."""

import re
import subprocess
from pathlib import Path

import pytest

BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)


@pytest.mark.usefixtures("local_ray")
def test_every_block_of_the_page_runs_as_it_stands(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(root / "examples")
    page = (root / "docs" / "library.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("```") // 2 >= 6, "a block is of another kind"
    names: dict[str, object] = {}
    for kind, text in blocks:
        if kind == "bash":
            subprocess.run(["bash", "-e", "-c", text], check=True)
        else:
            exec(compile(text, "docs/library.md", "exec"), names)
    told = capsys.readouterr().out
    assert told.splitlines()[0].split()[0] in ("generated", "real", "unsure")
    assert "not_an_image None" in told and "(14, 14)" in told
    assert told.count("'verdict': '") == 3
    assert "12 scored, 5 missing" in told
    assert (tmp_path / "where.png").read_bytes().startswith(b"\x89PNG")
