"""Breakdown: every image in one of each kind, the largest first, the rest in one line."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.review.analysis import breakdown as module
from pipeline.review.analysis.breakdown import MAX_GROUPS, Group, breakdown
from pipeline.review.analysis.model_rows import open_rows
from tests.verdicts import verdict_row, write_verdicts


def found(tmp_path: Path, rows: list[dict[str, Any]]) -> dict[str, list[Group]]:
    with open_rows(str(write_verdicts(tmp_path, rows))) as opened:
        return breakdown(opened)


def image(index: int, uri: str, **given: Any) -> dict[str, Any]:
    return verdict_row(f"{uri}#1", 0, last=True, uri=uri, **{"offset": None, "length": None} | given)


def test_images_are_counted_by_folder_domain_format_and_size(tmp_path: Path) -> None:
    told = found(
        tmp_path,
        [
            image(0, "/photos/a/1.jpg", verdict="generated", format="jpeg", width=640, height=480),
            image(1, "file:///photos/a/%FF2.jpg", verdict="real", format="jpeg", width=4000, height=3000),
            image(
                2, "https://u:p@example.org:8080/img/3.png?x=a/b", verdict="unsure", format="png", width=99, height=9
            ),
            image(3, "s3://bucket/x/4.png", status="missing"),
        ],
    )
    assert told["folder or archive"][0] == Group("/photos/a", 2, 2, 1, 0)
    assert {one.name for one in told["folder or archive"]} == {
        "/photos/a", "https://u:p@example.org:8080/img", "s3://bucket/x",
    }  # fmt: skip
    assert {one.name for one in told["domain or bucket"]} == {"", "example.org:8080", "bucket"}
    assert {one.name: one.images for one in told["format"]} == {"jpeg": 2, "png": 1, "": 1}
    assert [one.name for one in told["shorter side"]] == ["under 256 px", "256 to 511 px", "2,048 px and more", ""]
    assert {sum(one.images for one in some) for some in told.values()} == {4}


def test_members_of_an_archive_belong_to_it_and_a_table_of_one_disk_has_no_domains(tmp_path: Path) -> None:
    told = found(tmp_path, [verdict_row("/d/a.tar#1", index, uri="/d/a.tar") for index in range(2)])
    assert [one.name for one in told["folder or archive"]] == ["/d/a.tar"] and "domain or bucket" not in told


def test_many_archives_are_grouped_by_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ARCHIVES", 2)
    told = found(tmp_path, [verdict_row(f"/d/{number}.tar#1", 0, uri=f"/d/{number}.tar") for number in range(3)])
    assert [one.name for one in told["folder or archive"]] == ["/d"]


def test_the_largest_are_named_and_the_rest_is_summed(tmp_path: Path) -> None:
    many = [
        image(0, f"/p/{number:02}/{copy}.jpg") for number in range(MAX_GROUPS + 3) for copy in range(1 + (number == 7))
    ]
    told = found(tmp_path, many)["folder or archive"]
    assert told[0] == Group("/p/07", 2, 2, 0, 2) and told[-1] == Group("3 others", 3, 3, 0, 3)
    assert len(told) == MAX_GROUPS + 1


def test_the_domain_is_that_of_a_carried_url_where_there_is_one(tmp_path: Path) -> None:
    carried = {"carried": {"url": "https://origin.example/1.jpg", "caption": "c"}}
    told = found(tmp_path, [verdict_row("/d/a.tar#1", 0, uri="/d/a.tar", **carried)])
    assert [one.name for one in told["domain or bucket"]] == ["origin.example"]
