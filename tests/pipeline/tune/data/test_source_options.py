"""Laws of source options."""

import pytest

from mole.errors import SettingsError
from pipeline.tune.data.source_options import DEFAULT_OPTIONS, SourceOptions


@pytest.mark.parametrize("share", [-0.01, 0.5, 7.0])
def test_an_edge_that_leaves_nothing_is_refused_by_its_source(share: float) -> None:
    with pytest.raises(SettingsError, match=rf"edge of 'album' must lie in \[0, 0.5\) of a side, got {share}"):
        SourceOptions(crop_edges={"album": share})


def test_the_default_changes_nothing() -> None:
    assert not (
        DEFAULT_OPTIONS.grids or DEFAULT_OPTIONS.detect_grids or DEFAULT_OPTIONS.split or DEFAULT_OPTIONS.crop_edges
    )
