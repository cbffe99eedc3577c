"""Laws of the front: every name that it promises is there, and its stub promises the same."""

import ast
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import mole


def test_every_name_is_what_lies_where_it_says() -> None:
    for name, place in mole.LIBRARY.items():
        assert getattr(mole, name) is getattr(import_module(place), name)
    assert set(mole.LIBRARY) <= set(dir(mole))


def test_the_version_is_that_of_the_package() -> None:
    assert mole.__version__ == version("mole-scan") and "__version__" in dir(mole)


def test_type_checkers_are_told_the_same_names() -> None:
    stub = ast.parse(Path(mole.__path__[0], "__init__.pyi").read_text(encoding="utf-8"))
    told = {alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == mole.LIBRARY


def test_a_name_that_is_none_is_refused_as_python_does_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Detektor'; it has Detector"):
        _ = mole.Detektor  # type: ignore[attr-defined]
