"""Laws of the errors."""

import inspect

import pytest

from mole import errors
from mole.errors import MoleError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MoleError)]


def test_no_two_kinds_of_errors_end_a_command_with_the_same_code() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(KINDS) > 1 and len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exit_code_is_none_of_success_and_of_a_signal(kind: type[MoleError]) -> None:
    assert 0 < kind.exit_code < 128


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not MoleError])
def test_the_tree_at_the_top_of_the_file_gives_each_kind_its_code(kind: type[MoleError]) -> None:
    [line] = [line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line]
    assert line.split(kind.__name__)[1].split()[0] == str(kind.exit_code)
