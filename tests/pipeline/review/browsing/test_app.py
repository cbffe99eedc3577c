"""Laws of the pages: what is asked for is shown, by the number of a row and never by a path."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from pipeline.labels import current_labels
from pipeline.review.browsing.app import application
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.settings import BrowseSettings
from tests.pipeline.review.browsing.conftest import HOST, PORT, looked, numbered, visitor
from tests.verdicts import verdict_row, write_verdicts

ORIGIN = {"origin": HOST, "accept": "application/json"}


def names(page: str) -> list[str]:
    """The names of the images of a page, in their order."""
    return re.findall(r'<bdi class="name">([^<]*)</bdi>', page)


def form(session: Session, number: int, **more: str) -> dict[str, str]:
    """What the page of an image sends."""
    row = session.records.row(number)
    assert row is not None
    return {"id": str(number), "unit": row["unit"], "index": str(row["index"])} | more


def test_declared_ones_stand_first_then_the_highest_scores_and_one_without_a_score_last(client: TestClient) -> None:
    page = client.get("/").text
    assert names(page)[:5] == ["2", "4", "0", "1", "7.jpg"]
    assert names(page)[-1] == "5"
    assert "9 images" in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("verdict=unsure", ["2"]),
        ("verdict=unsure&verdict=none", ["2", "5"]),
        ("least=0.9&most=0.96", ["1", "7.jpg"]),
        ("status=truncated", ["5"]),
        ("declared=camera", ["1"]),
        ("generator=dreamy+%3C8%3E", ["2", "4"]),
        ("contradicted=1&sort=generated", ["1", "4"]),
        ("changed=1", ["2", "3"]),
        ("condition=probability+%3C+0.06+OR+key+%3D+%270%27&sort=generated", ["0", "4"]),
        ("verdict=real&sort=newest", ["8.jpg", "6.jpg", "4", "3"]),
        ("verdict=real&sort=real", ["4", "8.jpg", "3", "6.jpg"]),
        ("declared=generated&sort=doubtful", ["2", "4"]),
        ("labelled=yes", []),
    ],
)
def test_what_is_asked_for_is_shown(client: TestClient, asked: str, found: list[str]) -> None:
    assert names(client.get(f"/?{asked}").text) == found


def test_a_source_is_a_folder_and_those_below_it(client: TestClient, table: Path) -> None:
    assert len(names(client.get("/", params={"source": str(table.parent / "photos")}).text)) == 3
    assert len(names(client.get("/", params={"source": str(table.parent)}).text)) == 9


@pytest.mark.parametrize(
    "asked", ["condition=nothing+%3D+1", "condition=1%3B+DROP+TABLE+images", "least=2", "verdict=maybe", "sort=size"]
)
def test_what_cannot_be_asked_is_refused_with_the_reason(client: TestClient, asked: str) -> None:
    answer = client.get(f"/?{asked}")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text and not names(answer.text)


def test_a_condition_that_is_none_leaves_the_rest_of_the_filter_as_it_was(client: TestClient) -> None:
    page = client.get("/?verdict=unsure&condition=width+%3E").text
    assert 'value="unsure" checked' in page and ">width &gt;</textarea>" in page


def test_the_page_of_an_image_tells_all_that_is_known(client: TestClient, session: Session) -> None:
    page = client.get(f"/image/{numbered(session, '1')}").text
    for words in (
        "Called generated",
        "0.950",
        "The file itself says otherwise",
        "Leica M6",
        "Other models",
        "Expert 3",
        "For engineers",
    ):
        assert words in page
    assert "The same bytes elsewhere" in client.get(f"/image/{numbered(session, '4')}").text
    fault = client.get(f"/image/{numbered(session, '5')}").text
    assert "image file is truncated" in fault and "Nothing: the image was not scored" in fault


def test_texts_of_strangers_are_shown_and_not_obeyed(client: TestClient, session: Session) -> None:
    page = client.get(f"/image/{numbered(session, '2')}").text
    assert "dreamy &lt;8&gt;" in page and "dreamy <8>" not in page


def test_no_sign_that_hides_or_turns_a_name_is_shown(tmp_path: Path) -> None:
    bad = "rtl\u202egnp.exe\u200b\x1b\t\n.jpg"
    row = verdict_row(f"/{bad}#1", 0, key=bad, uri=f"/{bad}", detail=bad, carried={bad: bad})
    told = row | {"provenance": {"generator": bad, "camera": bad, "software": bad}, "declared": "generated"}
    with looked(write_verdicts(tmp_path / "verdicts", [told]), tmp_path / "labels") as session:
        client = visitor(session)
        for path in ("/", "/image/1"):
            page = re.sub(
                r'<input type="hidden"[^>]*>|<option value="[^"]*"|data-unit="[^"]*"', "", client.get(path).text
            )
            assert r"rtl\u202egnp.exe\u200b\x1b\t\n.jpg" in page
            assert [sign for sign in page if not sign.isprintable() and sign != "\n"] == []
        sent = form(session, 1, label="real")
        assert client.post("/label", data=sent, headers=ORIGIN).json()["name"].isprintable()


def test_next_and_previous_follow_the_order_that_was_asked_for(client: TestClient, session: Session) -> None:
    page = client.get(f"/image/{numbered(session, '4')}?verdict=real&sort=real").text
    after = re.search(r'id="after" href="/image/(\d+)\?verdict=real&amp;sort=real"', page)
    assert after and int(after[1]) == numbered(session, "8.jpg")
    assert 'id="before"' not in page


@pytest.mark.parametrize("path", ["thumbnail", "large", "seen"])
def test_pictures_are_made_here_and_none_is_a_file_of_somebody(client: TestClient, session: Session, path: str) -> None:
    answer = client.get(f"/{path}/{numbered(session, '0')}")
    assert answer.headers["content-type"] == ("image/png" if path == "seen" else "image/jpeg")
    assert Image.open(io.BytesIO(answer.content)).size == ((224, 224) if path == "seen" else (64, 64))
    gone = client.get(f"/{path}/{numbered(session, '8.jpg')}")
    assert gone.headers["content-type"] == "image/svg+xml" and "not exist any more" in gone.text


@pytest.mark.parametrize("path", ["0", "99", "-1", "../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "1/..;/", "a"])
def test_there_is_no_picture_of_what_is_no_row(client: TestClient, path: str) -> None:
    for kind in ("thumbnail", "large", "seen", "heat", "image", "static"):
        answer = client.get(f"/{kind}/{path}")
        assert answer.status_code in (404, 405), (kind, path)
        assert "root:" not in answer.text


def test_a_label_is_written_before_the_answer_and_undo_takes_it_back(labeller: TestClient, own: Session) -> None:
    number = numbered(own, "3")
    told = labeller.post("/label", data=form(own, number, label="generated", note="odd hands"), headers=ORIGIN).json()
    assert told["label"] == {"label": "generated", "generator": None, "note": "odd hands"}
    assert (told["undo"], told["labels_count"]) == ("3", 1)
    [row] = current_labels(own.settings.labels_folder).to_pylist()
    assert (row["label"], row["labelled_by"], row["verdict"], row["index"]) == ("generated", "ada", "real", 3)
    assert names(labeller.get("/?labelled=generated").text) == ["3"]
    undone = labeller.post("/undo", headers=ORIGIN).json()
    assert (undone["name"], undone["label"], undone["state"], undone["undo"]) == ("3", None, "is not marked", None)
    assert current_labels(own.settings.labels_folder).num_rows == 0
    refused = labeller.post("/undo", headers=ORIGIN)
    assert refused.status_code == 400 and "Nothing to undo in this session" in refused.json()["error"]


def test_a_note_needs_no_mark_and_a_mark_keeps_the_note(labeller: TestClient, own: Session) -> None:
    number = numbered(own, "3")

    def said(**more: str) -> tuple[str, str | None, int] | None:
        told = labeller.post("/label", data=form(own, number, **more), headers=ORIGIN).json()
        return told["label"] and (told["label"]["label"], told["label"]["note"], told["labels_count"])

    assert said(label="note", note="", generator="") is None and own.labelling.written == 0
    assert said(label="note", note="odd hands") == ("note", "odd hands", 0)
    assert names(labeller.get("/?labelled=note").text) == ["3"]
    assert "3" in names(labeller.get("/?labelled=no").text)
    assert "note, not marked" in labeller.get("/").text
    assert current_labels(own.settings.labels_folder).num_rows == 0
    assert said(label="real") == ("real", "odd hands", 1)
    assert said(label="note", note="no, fine") == ("real", "no, fine", 1)
    other = labeller.get("/labels", params={"id": [number, 1]}).json()
    assert other["labels"][str(number)]["note"] == "no, fine" and other["undo"] == "3"
    assert "z: take back the last mark or note, on 3" in labeller.get("/").text
    assert labeller.post("/undo", headers=ORIGIN).json()["state"] == "is marked real, with the note “odd hands”"
    assert said(label="withdrawn", note="x") is None


def test_nothing_to_undo_is_shown_as_such(client: TestClient) -> None:
    for page in ("/", "/image/1"):
        assert 'title="Nothing to undo in this session" disabled' in client.get(page).text


def test_a_form_without_script_leads_back_to_the_image(labeller: TestClient, own: Session) -> None:
    number = numbered(own, "3")
    sent = form(own, number, label="real", question="verdict=real")
    answer = labeller.post("/label", data=sent, headers={"origin": HOST})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/image/{number}?verdict=real")
    assert 'value="real" aria-pressed="true"' in labeller.get(f"/image/{number}").text


def test_a_page_of_an_earlier_start_labels_no_other_image(labeller: TestClient, own: Session) -> None:
    sent = form(own, numbered(own, "3"), label="real") | {"id": str(numbered(own, "0"))}
    answer = labeller.post("/label", data=sent, headers=ORIGIN)
    assert answer.status_code == 400 and "reload the page" in answer.json()["error"]
    for wrong in ({"label": "fake"}, {"note": "n" * 3000, "label": "real"}, {"id": "x", "label": "real"}):
        assert labeller.post("/label", data=form(own, 1) | wrong, headers=ORIGIN).status_code == 400
    assert labeller.post("/label", content=b"a=" + b"b" * 70_000, headers=ORIGIN).status_code == 400
    assert own.labelling.written == 0


def test_where_a_score_comes_from_is_told_or_why_not(client: TestClient, session: Session) -> None:
    assert "not available" in client.get(f"/heat/{numbered(session, '0')}").json()["absent"]


def test_the_page_is_there_before_the_table_is_read(table: Path, tmp_path: Path) -> None:
    session = Session(BrowseSettings(table=str(table), labels=str(tmp_path)))
    early = TestClient(application(session, PORT), base_url=HOST)
    waiting = early.get("/", params={"token": session.token})
    assert waiting.status_code == 200 and "Reading the table" in waiting.text
    assert early.get("/state").json()["ready"] is False
    assert early.get("/thumbnail/1").status_code == 404
    assert early.post("/label", data={"id": "1"}, headers=ORIGIN).status_code == 400
    session.close()
