"""Laws of a page's words: rounded to what they tell, and harmless whatever the names hold."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.records import Status
from pipeline.review.page.wording import (
    ADVICE,
    Limit,
    chance,
    declarations,
    inside,
    interval,
    likelihood,
    link,
    name,
    percent,
    place,
    plain,
    short,
)  # fmt: skip

SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("share", "told"),
    [(0, "0 %"), (1, "100 %"), (0.21, "21 %"), (0.074, "7.4 %"), (0.0092, "0.92 %"), (1e-7, "under 0.01 %"),
     (0.975, "97.5 %"), (1 - 1e-7, "over 99.9 %")],
)  # fmt: skip
def test_a_share_has_the_digits_that_tell_something(share: float, told: str) -> None:
    assert percent(share) == told.replace(" %", f"{SPACE}%")


def test_an_interval_names_its_unit_once_and_a_score_makes_nothing_certain() -> None:
    assert interval((0.16, 0.28)) == f"16 to 28{SPACE}%"
    assert interval((1e-9, 0.5)).startswith("under 0.01")
    assert chance(1.0).startswith("over") and chance(0.0).startswith("under") and chance(0.5) == f"50{SPACE}%"


def test_words_grow_with_the_probability() -> None:
    assert [likelihood(chance) for chance in (0, 0.2, 0.5, 0.7, 1)] == [
        "very likely not generated", "rather not generated", "as likely generated as not", "likely generated",
        "very likely generated",
    ]  # fmt: skip


def test_every_fault_has_its_advice() -> None:
    assert set(ADVICE) == set(Status) - {Status.OK}


def test_marks_that_turn_or_hide_text_are_written_out() -> None:
    assert plain("a\u202egpj.exe\nb\x00\x1b[31m") == "a\\u202egpj.exe\\nb\\x00\\x1b[31m"
    assert plain("x" * 400) == "x" * 299 + "…" and short("a" * 300 + "z" * 300).endswith("z" * 40)
    assert len(short("\u202e" * 500)) == 120


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)", "JavaScript://x/%0aalert(1)", "data:text/html,<script>", "s3://bucket/a.jpg", "vbscript:x",
     "memory://a", "ftp://host/a.jpg", None, "", "http://", "https://[bad"],
)  # fmt: skip
def test_only_files_and_web_pages_are_linked(uri: str | None) -> None:
    address = link(uri)
    assert address is None or address.startswith("file:///")


def test_a_link_of_a_file_is_quoted_and_one_of_the_web_gives_no_rights() -> None:
    assert link('/p/a "b" <c>#?%.jpg') == "file:///p/a%20%22b%22%20%3Cc%3E%23%3F%25.jpg"
    assert link("file:///p/a%20b.jpg") == "file:///p/a%20b.jpg"
    assert link("https://user:pw@example.org/a b.jpg?id=5&size=L") == "https://example.org/a%20b.jpg?id=5&size=L"
    assert link("https://h.example/a.jpg?X-Amz-Signature=abc&id=1") == "https://h.example/a.jpg"
    assert link('https://h.example/a.jpg?q="><script>') == "https://h.example/a.jpg?q=%22%3E%3Cscript%3E"


def row(**given: Any) -> dict[str, Any]:
    return {"uri": None, "key": None, "offset": None} | given


def test_images_are_named_as_people_call_them() -> None:
    assert name(row(uri="/p/a/1.jpg", key="a/1.jpg")) == "1.jpg" and inside(row(uri="/p/a/1.jpg")) == "a"
    member = row(uri="/p/x.tar", key="d/000017", offset=512)
    assert (name(member), inside(member), place(member)) == ("000017", "x.tar", "/p/x.tar › d/000017")
    assert name(row(uri="https://h.example/i/7.png?x=1")) == "7.png" and name(row()) == "without a name"
    assert place(row(uri="https://u:secret@h.example/7.png?key=1")) == "https://h.example/7.png?***"
    assert inside(row()) == "" and inside(row(uri="https://u:secret@h.example/7.png")) == "h.example"


def test_what_a_file_declares_is_listed_under_plain_names() -> None:
    told = {"generator": "ComfyUI", "camera": None, "c2pa": "signed\u202e", "software": None, "source_type": None}
    assert declarations(told) == [("generator", "ComfyUI"), ("content credentials", "signed\\u202e")]
    assert declarations(None) == []


def test_a_page_never_links_what_its_folder_does_not_have(tmp_path: Path) -> None:
    assert link(str(tmp_path)) == tmp_path.as_uri()


def test_a_probability_near_a_threshold_is_never_written_as_if_on_its_other_side() -> None:
    exact = 0.857604
    limit = Limit.beside(exact, [0.12, 0.857, 0.858, 0.9])
    assert [str(limit), chance(0.857, [limit]), chance(0.858, [limit])] == [
        f"{told}{SPACE}%" for told in ("85.8", "85.7", "85.8")
    ]
    assert chance(0.9, [limit]) == chance(0.9) and str(Limit.beside(exact, [0.3, 0.858])) == f"86{SPACE}%"
    assert str(Limit.beside(exact, [0.857603])) == f"85.7604{SPACE}%"
    high = Limit.beside(0.99962, [0.9993])
    assert (str(high), chance(0.9993, [high])) == (f"99.96{SPACE}%", f"99.93{SPACE}%")
    assert chance(0.999999, [high]) == f"over 99.9{SPACE}%"
