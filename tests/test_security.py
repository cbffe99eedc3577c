"""No code of ours gives a stranger's bytes to what would run them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNS = {"eval", "exec", "os.system", "os.popen", "yaml.load", "marshal.loads", "marshal.load", "shelve.open"}
PICKLES = {"pickle.load", "pickle.loads", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads"}
OWN = "pipeline/runtime/isolation.py"
"""Speaks in pickles with a child process of its own, through a pipe that nobody else has."""


def calls(root: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Yield every call by a name: its file, the name as written, the call."""
    for package in ("mole", "pipeline", "jobs"):
        for file in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield str(file.relative_to(root)), ast.unparse(node.func), node


def options(call: ast.Call) -> dict[str | None, str]:
    """Return the keyword arguments of a call, as written."""
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


def test_nothing_unpickles_runs_a_text_or_starts_a_shell(root: Path) -> None:
    found = [(file, name) for file, name, _ in calls(root) if name in RUNS | PICKLES]
    assert [(file, name) for file, name in found if file != OWN] == []
    assert {name for _, name in found} <= {"pickle.load"}
    assert not [file for file, _, call in calls(root) if options(call).get("shell", "False") != "False"]


@pytest.mark.parametrize(
    ("name", "option", "value"), [("torch.load", "weights_only", "True"), ("np.load", "allow_pickle", "False")]
)
def test_what_could_unpickle_is_told_not_to(name: str, option: str, value: str, root: Path) -> None:
    found = [(file, options(call).get(option)) for file, called, call in calls(root) if called == name]
    assert [one for one in found if one[1] != value] == []


def test_the_search_finds_what_it_looks_for(root: Path) -> None:
    names = {name for _, name, _ in calls(root)}
    assert {"torch.load", "pickle.load"} <= names
