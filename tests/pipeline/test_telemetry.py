"""What a run says: counts, rate, time left, faults; nothing when it is told to be quiet."""

import os
import signal

import pytest

from mole.errors import LawError
from pipeline.telemetry import Ticker, command


def test_a_line_holds_what_is_done_the_rate_the_time_left_and_the_faults() -> None:
    ticker = Ticker(quiet=True)
    ticker.expect(4000)
    ticker.add(1000, 3)
    line = str(ticker)
    assert line.startswith("1,000 of 4,000 images, ")
    assert " images/s, " in line and " s left, 3 faults" in line


def test_a_total_that_nobody_knows_is_not_invented() -> None:
    ticker = Ticker(quiet=True)
    ticker.expect(None)
    ticker.add(5, 0)
    assert str(ticker).startswith("5 images, ") and "left" not in str(ticker)


def test_a_quiet_ticker_prints_nothing_and_a_plain_one_says_what_it_waits_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Ticker(quiet=True) as ticker:
        ticker.expect(7)
    assert capsys.readouterr() == ("", "")
    with Ticker() as ticker:
        ticker.expect(7)
    told = capsys.readouterr()
    assert told.out == "" and "7 images to score" in told.err


def test_however_a_command_ends_there_is_a_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def run(arguments: list[str]) -> int:
        """Run."""
        if arguments == ["law"]:
            raise LawError("2 rows [a]\nFailed to apply UDF on the object ...")
        if arguments == ["Ctrl-C"]:
            raise KeyboardInterrupt
        if arguments == ["SIGTERM"]:
            os.kill(os.getpid(), signal.SIGTERM)
        return len(arguments)

    kept = signal.getsignal(signal.SIGTERM)
    try:
        codes = [run(list(arguments)) for arguments in ([], ["law"], ["Ctrl-C"], ["SIGTERM"])]
    finally:
        signal.signal(signal.SIGTERM, kept)
    assert codes == [0, 5, 130, 143] and run.__doc__ == "Run."
    told = capsys.readouterr()
    assert told.out == "" and told.err.splitlines()[0] == "LawError: 2 rows [a]" and "stopped" in told.err
