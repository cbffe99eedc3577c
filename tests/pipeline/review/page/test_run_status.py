"""Laws of a page's standing: nothing is called complete that a run left, and every source is named."""

from datetime import timedelta
from typing import Any

import pytest

from pipeline.review.analysis.findings import Share
from pipeline.review.analysis.history import Run
from pipeline.review.page.run_status import of_model, several, sources, unfinished
from tests.verdicts import BEGUN

WHOLE = {"law": "kept", "stopped": None, "units": 30, "units_left": 0, "images_left": 0, "images": 30}
STOPPED = {"law": "open", "stopped": "--max-images", "units": 30, "units_left": 25, "images_left": 25, "images": 5}


def run(minute: int, *source: str, **given: Any) -> Run:
    facts: dict[str, Any] = {
        "id": f"r{minute}", "job": "scan", "started": BEGUN + timedelta(minutes=minute), "ended": BEGUN, "seconds": 9.0,
        "exit_code": 0, "written": 5, "faults": 0, "version": "", "command": "", "error": "", "model": "d",
        "settings": {"source": list(source), "model": "embedded"}, "called": Share(0, 0), "steps": (), "summary": WHOLE,
    }  # fmt: skip
    return Run(**facts | given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"summary": STOPPED}, ["25 of 30 files are not scanned yet (--max-images ended the run)"]),
        ({"summary": STOPPED | {"images_left": 480, "stopped": "--max-hours", "units_left": 1, "units": 2}},
         ["1 of 2 files and archives is not scanned to the end yet, 480 images (--max-hours ended the run)"]),
        ({"summary": STOPPED | {"images_left": None}},
         ["25 of 30 files and archives are not scanned to the end yet (--max-images ended the run)"]),
        ({"exit_code": 3, "error": "no space left.", "summary": {}},
         ["the scan of 2026-11-01 00:01 UTC ended early with exit code 3: no space left"]),
        ({"exit_code": None, "written": 0, "summary": {}, "model": None},
         ["the scan of 2026-11-01 00:01 UTC has not ended: it runs still, or was killed"]),
        ({"exit_code": 7, "written": 0, "summary": {}, "model": None}, []),
        ({"job": "rescan", "settings": {}, "summary": {"left": 3, "chosen": 9, "stopped": "--max-images", "law": "open"}},
         ["3 of 9 images are not scored again yet (--max-images ended the run)"]),
    ],
    ids=["whole", "stopped", "archives", "not counted", "failed", "killed", "wrote nothing", "rescan"],
)  # fmt: skip
def test_what_the_last_run_left_is_told(given: dict[str, Any], told: list[str]) -> None:
    assert unfinished([run(1, "photos", **given), run(0, "photos")]) == told


def test_a_later_scan_of_the_same_source_ends_what_an_earlier_one_left_and_of_another_does_not() -> None:
    earlier = [run(1, "a", summary=STOPPED), run(0, "b", exit_code=None, summary={})]
    assert unfinished([run(3, "a/", "./b"), *earlier]) == []
    left = unfinished([run(2, "a"), *earlier])
    assert len(left) == 1 and left[0].endswith("or was killed, of b")


def test_runs_of_another_model_do_not_count() -> None:
    other = run(2, "a", model="e", settings={"source": ["a"], "model": "mine"}, summary=STOPPED)
    killed = run(3, "a", model=None, settings={"source": ["a"], "model": "mine"}, exit_code=None, summary={})
    beside = run(4, "c", model="e", settings={"source": ["c"], "model": "mine", "shadow": "embedded"})
    runs = [beside, killed, other, run(1, "b")]
    assert [one.id for one in of_model(runs, "d")] == ["r4", "r1"]
    assert [one.id for one in of_model(runs, "e")] == ["r4", "r3", "r2"]


def test_sources_are_named_once_and_together_only_where_there_are_several() -> None:
    runs = [
        run(2, "/data/photos"),
        run(1, "photos/", "https://u:pw@h.example/list.parquet"),
        run(0, "wrong", written=0, exit_code=2),
    ]
    named = sources(runs)
    assert named == ["/data/photos", "https://u:pw@h.example/list.parquet"]
    assert several(named) == (
        "This table holds images of 2 sources: /data/photos, https://h.example/list.parquet; shares are of all of them."
    )
    assert several(named[:1]) == "" and several([f"/{at}" for at in range(9)]).endswith(
        "/4 and 4 others; shares are of all of them."
    )
