"""Laws of the settings of a report."""

import pytest

from mole.errors import SettingsError
from pipeline.review.page.settings import ReportSettings


def test_a_report_takes_a_table_and_needs_no_more() -> None:
    read = ReportSettings.from_command_line(["--table", "/v"])
    assert (read.table, read.output, read.model) == ("/v", None, None)
    with pytest.raises(SettingsError, match="--table is required"):
        ReportSettings.from_command_line([])
    with pytest.raises(SettingsError, match="--output must not be empty"):
        ReportSettings.from_command_line(["--table", "/v", "--output", ""])
