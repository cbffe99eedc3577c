"""Laws of the settings of labelled images."""

import pytest

from mole.errors import SettingsError
from pipeline.tune.data.reconstruction import ReconstructSettings
from pipeline.tune.data.source_options import SourceOptions


def given(*flags: str) -> ReconstructSettings:
    """Settings of one of the jobs that have them."""
    return ReconstructSettings.from_command_line(["--samples", "a", "--output", "b", *flags])


def test_settings_of_sources_become_source_options() -> None:
    flags = [
        "--grids",
        "sheet",
        "--detect-grids",
        "gallery,album",
        "--split-sources",
        "zoo",
        "--crop-edges",
        '{"album": 0.06}',
    ]
    wanted = SourceOptions(
        grids=("sheet",), detect_grids=("gallery", "album"), split=("zoo",), crop_edges={"album": 0.06}
    )
    assert given(*flags).source_options == wanted


def test_without_settings_pictures_are_read_whole() -> None:
    assert given().source_options == SourceOptions()


@pytest.mark.parametrize("edges", ['{"album": 0.5}', '{"album": -0.1}', "album"])
def test_an_edge_that_leaves_nothing_is_refused_where_it_is_given(edges: str) -> None:
    with pytest.raises(SettingsError, match="--crop-edges"):
        given("--crop-edges", edges)
