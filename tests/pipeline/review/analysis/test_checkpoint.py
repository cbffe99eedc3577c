"""Laws of finding the model that a table names by its digest."""

import shutil
from pathlib import Path
from typing import Any

from mole.config import ADAPTERS, CONFIG, describe
from pipeline.registry import Registry, locate
from pipeline.review.analysis.checkpoint import SHIPPED, find, places_of
from pipeline.review.analysis.rates import RATES
from pipeline.storage import storage


def test_the_shipped_detector_is_always_at_hand() -> None:
    found = find(describe(locate("embedded")).digest, ["/nowhere"])
    assert found is not None and found.name == SHIPPED and len(found.measured) == 2


def test_a_model_is_found_where_a_run_had_it_from(tiny: Path, tmp_path: Path) -> None:
    digest = describe(tiny).digest
    assert find(digest, []) is None
    assert find(digest, ["/nowhere", "", "s3://", str(tmp_path)]) is None
    folder = find(digest, ["/nowhere", str(tiny)])
    assert folder is not None and folder.name == str(tiny) and folder.digest == digest
    registry = Registry(str(tmp_path / "models"))
    registry.add(tiny, {RATES: b'{"digest": "another"}'})
    version = find(digest, [registry.url])
    assert version is not None and version.config == folder.config and version.name.startswith("a version of")


def test_a_remote_folder_is_asked_for_its_settings_and_adapters_and_not_for_its_tower(tiny: Path) -> None:
    for name in (CONFIG, ADAPTERS):
        storage.write(f"memory://found/tiny/{name}", (tiny / name).read_bytes())
    found = find(describe(tiny).digest, ["memory://found/tiny"])
    assert found is not None and found.name == "memory://found/tiny"


def test_a_folder_that_holds_another_model_now_is_passed_over(tiny: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(tiny, tmp_path / "changed"))
    text = (changed / CONFIG).read_text()
    (changed / CONFIG).write_text(text.replace('"licence": "Apache-2.0"', '"licence": "MIT"'))
    assert find(describe(tiny).digest, [str(changed)]) is None


def test_places_are_those_of_the_runs_settings() -> None:
    runs: list[dict[str, Any]] = [
        {"registry": "r", "model": "promoted"},
        {"model": "embedded", "shadow": "s"},
        {"model": None},
        {},
    ]
    assert list(places_of(runs)) == ["r", "s"]
