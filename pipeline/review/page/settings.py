"""Report settings: the settings of `mole-scan report`."""

from typing import Annotated

from pydantic import Field

from pipeline.command.settings import JobSettings


class ReportSettings(JobSettings):
    """Write the report of a scan: one HTML file with the results, their uncertainty, and the images worth a look.

    Next to it, `suspicious.csv` lists every image that is called generated or whose file declares it generated. The
    page needs no network and no other file.

    exit codes: 0 written, 2 an invalid setting or a path that does not exist, 3 a store failed, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_REPORT_"
    positional = "table"

    table: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the verdict table")
    output: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the HTML file (default: report.html in the table's folder)"
    )
    model: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="the digest, or its first 4 or more characters, of the model whose rows are reported (default: the "
        "model with the most rows)",
    )
