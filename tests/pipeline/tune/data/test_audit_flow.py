"""Laws of the flow of an audit."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.tune.data.audit_flow import AuditSettings, audit_samples
from tests.pipeline.tune.conftest import EACH, SOURCES


def test_an_audit_runs_from_places_to_figures(local_ray: None, manifest: Path) -> None:
    said: list[str] = []
    settings = AuditSettings.from_command_line(["--samples", str(manifest)])
    found = audit_samples(settings, said.append)
    assert found.images == EACH * len(SOURCES)
    assert [each.source for each in found.distributions[2:]] == ["holiday", "photos", "dreamer", "painter"]
    assert said == ["a table of path, label, source (manifest.csv): 12 real, 12 fake, 4 sources"]


def test_copies_are_found_across_places_and_a_cap_is_kept(local_ray: None, manifest: Path) -> None:
    arguments = ["--samples", str(manifest), "--samples", str(manifest.parent), "--max-per-source", "2"]
    found = audit_samples(AuditSettings.from_command_line(arguments), lambda _: None)
    assert found.images == 2 * len(SOURCES)


def test_one_class_alone_ends_before_ray_is_needed(tmp_path: Path) -> None:
    (tmp_path / "0_real").mkdir()
    (tmp_path / "0_real/a.jpg").write_bytes(b"x")
    with pytest.raises(SettingsError, match="both classes are needed, got 1 real and 0 fake"):
        audit_samples(AuditSettings.from_command_line(["--samples", str(tmp_path)]), lambda _: None)


@pytest.mark.parametrize("bound", ["0", "1.5", "x"])
def test_a_bound_that_is_no_auc_is_refused(bound: str) -> None:
    with pytest.raises(SettingsError, match="--max-leak"):
        AuditSettings.from_command_line(["--samples", "a", "--max-leak", bound])
