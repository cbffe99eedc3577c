"""What a command advises is started in the way in which it was itself."""

import pytest

from pipeline.runtime.invocation import command_for, console_command, invoked, program


def test_a_file_of_jobs_advises_files_and_the_console_command_itself() -> None:
    assert program() is None and command_for("promote") == "python jobs/promote.py"
    with invoked("finetune"):
        assert program() == "mole-scan train finetune"
        assert (command_for("promote"), command_for("browse")) == ("mole-scan train promote", "mole-scan browse")
    assert program() is None


def test_what_was_invoked_is_forgotten_however_it_ends() -> None:
    with pytest.raises(SystemExit), invoked("scan"):
        raise SystemExit
    assert program() is None and console_command("scan") == "mole-scan scan"
