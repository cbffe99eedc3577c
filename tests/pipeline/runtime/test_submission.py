"""Inside a submitted job a place that would vanish with the job's copy of the folder is refused before anything runs."""

import json

import pytest

from mole.errors import SettingsError
from pipeline.runtime.submission import JOB_CONFIG, require_durable
from pipeline.scan.settings import ScanSettings, TablesSettings
from pipeline.tune.data.reconstruction import ReconstructSettings

COPY = json.dumps({"runtime_env": {"working_dir": "gcs://_ray_pkg_ab12.zip"}, "metadata": {}})
BARE = json.dumps({"runtime_env": {}, "metadata": {}})


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a submitted job's command, as Ray makes it."""
    monkeypatch.setenv(JOB_CONFIG, COPY)


@pytest.mark.parametrize("place", ["/srv/verdicts", "~/verdicts", "s3://lake/verdicts", "memory://x", "file:///srv/x"])
def test_whole_paths_and_urls_are_taken(submitted: None, place: str) -> None:
    require_durable({"--output": [place]})


@pytest.mark.parametrize("place", ["verdicts/", "./verdicts", "../verdicts", "v"])
def test_a_relative_path_is_refused_with_the_reason(submitted: None, place: str) -> None:
    with pytest.raises(SettingsError, match=f"^--output '{place}' is relative, to '.*', a copy that Ray removes; give"):
        require_durable({"--output": [place]})


def test_without_a_copy_the_reason_is_another_and_outside_of_a_job_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_durable({"--output": ["verdicts/"]})
    monkeypatch.setenv(JOB_CONFIG, BARE)
    with pytest.raises(SettingsError, match="the folder in which Ray started this job"):
        require_durable({"--output": ["verdicts/"]})


def test_sources_outputs_tables_and_databases_are_such_places_of_every_job(submitted: None) -> None:
    with pytest.raises(SettingsError, match="^--source 'b.tar' is relative"):
        ScanSettings.from_command_line(["--source", "/a.tar", "--source", "b.tar", "--output", "/o"])
    with pytest.raises(SettingsError, match="^--database 'views.duckdb' is relative"):
        TablesSettings.from_command_line(["--table", "/t", "--database", "views.duckdb"])
    with pytest.raises(SettingsError, match="^--samples 'data' is relative"):
        ReconstructSettings.from_command_line(["--samples", "data", "--output", "/o", "--autoencoder", "weights"])


def test_who_allows_it_and_a_table_of_a_catalog_are_taken(submitted: None) -> None:
    ScanSettings.from_command_line(["--source", "b.tar", "--output", "o", "--allow-relative"])
    ScanSettings.from_command_line(["--source", "/b.tar", "--output", "lake.trust.verdicts", "--sink", "iceberg"])


def test_a_submitted_scan_has_no_output_of_its_own_choice(submitted: None) -> None:
    with pytest.raises(SettingsError, match="since a submitted job runs in a temporary folder$"):
        ScanSettings.from_command_line(["/srv/photos"])
    with pytest.raises(SettingsError, match="^--source 'photos/' is relative"):
        ScanSettings.from_command_line(["photos/", "--output", "/o"])
