"""The settings of a report."""

from typing import Annotated

from pydantic import Field

from pipeline.command.settings import JobSettings


class ReportSettings(JobSettings):
    """Write the page of a scan: one HTML file with what was found, how sure that is, and the images worth a look.

    Beside it `suspicious.csv` lists every image that is called generated or declares itself so. The page needs no
    network and no other file.

    exit codes: 0 written, 2 a setting or a place that is not there, 3 a store failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_REPORT_"
    positional = "table"

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    output: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the HTML file (default: report.html in the table's folder)"
    )
    model: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="whose rows: a digest of the table or its first characters, 4 or more (default: the model that "
        "judged the most images)",
    )
