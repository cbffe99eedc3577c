"""The images to look at first: what files declare before what scores say, each with its reason, and no other image."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.review.analysis.suspicious import Suspect, Suspicion, question, short, suspicion
from pipeline.scan.table.views import ask, open_views
from tests.verdicts import verdict_row, write_verdicts

WEB_UI = "a cat, App: of mine\nSteps: 20, Size: 64x64, App: SD.Next, Version: 1, Model: dreamy_8, Seed: 3"


def row(name: str, verdict: str | None, logit: float, **declared: str) -> dict[str, Any]:
    """Write the row of a photograph."""
    place = f"/photos/{name}"
    unscored = {"status": "truncated"} if verdict is None else {}
    score = {} if verdict is None else {"verdict": verdict, "logit": logit, "probability": logit / 10}
    where = {"uri": place, "key": name, "offset": None, "length": None, "last": True}
    return verdict_row(f"{place}#1", 0, **where, **unscored, **score, provenance=declared or None)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with one image of each kind."""
    rows = [
        row("real.jpg", "real", 1.0),
        row("camera.jpg", "real", 1.0, camera="Canon EOS 5D"),
        row("unsure.jpg", "unsure", 6.0),
        row("high.jpg", "generated", 9.0),
        row("low.jpg", "generated", 7.0, software="GIMP"),
        row("claims.jpg", "generated", 8.0, camera="Canon EOS 5D"),
        row("said.png", "generated", 8.5, generator="ComfyUI  dream"),
        row("denied.png", "real", 0.5, generator=WEB_UI),
        row("doubted.png", "unsure", 6.0, source_type="trainedAlgorithmicMedia"),
        row("cut.png", None, 0.0, generator="DALL·E 3"),
    ]
    return write_verdicts(tmp_path_factory.mktemp("table"), rows)


@pytest.fixture(scope="module")
def found(table: Path) -> Suspicion:
    """What is suspicious in it."""
    with open_views(str(table)) as views:
        return suspicion(views, limit=9)


def test_declared_ones_stand_first_then_the_generated_ones_by_falling_score(found: Suspicion) -> None:
    assert [suspect.key for suspect in found.first] == [
        *("said.png", "doubted.png", "denied.png", "cut.png"),
        *("high.jpg", "claims.jpg", "low.jpg"),
    ]


def test_each_has_its_reason_in_words(found: Suspicion) -> None:
    assert {suspect.key: suspect.reason for suspect in found.first} == {
        "said.png": "its file declares ComfyUI dream",
        "doubted.png": "its file declares trainedAlgorithmicMedia; its verdict is unsure",
        "denied.png": "its file declares SD.Next dreamy_8; contradicts its score",
        "cut.png": "its file declares DALL·E 3; not scored: truncated",
        "high.jpg": "its score",
        "claims.jpg": "its score; its file contradicts it, declares Canon EOS 5D",
        "low.jpg": "its score",
    }


def test_declarations_and_contradictions_are_counted(found: Suspicion) -> None:
    assert (found.declared_generated, found.declared_generated_real) == (4, 1)
    assert (found.declared_camera, found.declared_camera_generated) == (2, 1)
    assert found.listed == 7


def test_of_few_images_all_are_listed_with_a_score_or_a_reason(table: Path) -> None:
    with open_views(str(table)) as views:
        found = suspicion(views, limit=10)
    assert [suspect.key for suspect in found.first[7:]] == ["unsure.jpg", "camera.jpg", "real.jpg"]
    assert found.images == 10 and found.faults == ()


def test_copies_are_listed_once_and_faults_with_their_reason(tmp_path: Path) -> None:
    same = {"content_hash": bytes(16)}
    rows = [row(f"{number}.jpg", "generated", 9.0) | same for number in range(3)]
    rows += [row("last.jpg", "generated", 8.0), row("cut.jpg", None, 0.0) | {"detail": "ends in the middle"}]
    with open_views(str(write_verdicts(tmp_path, rows))) as views:
        found = suspicion(views, limit=4)
    assert [suspect.key for suspect in found.first] == ["0.jpg", "last.jpg"]
    assert [(fault.key, fault.reason) for fault in found.faults] == [("cut.jpg", "truncated, ends in the middle")]
    assert (found.listed, found.images, found.faulty) == (4, 5, 1)


def test_only_so_many_are_listed_and_all_are_counted(table: Path) -> None:
    with open_views(str(table)) as views:
        few = suspicion(views, limit=2)
    assert (len(few.first), few.listed) == (2, 7)


def test_the_question_for_a_shell_has_the_same_order_and_no_sign_that_a_shell_obeys(
    table: Path, found: Suspicion
) -> None:
    assert not set('"$`\\!') & set(question())
    asked = ask(str(table), question(3)).to_pylist()
    assert [one["key"] for one in asked] == [suspect.key for suspect in found.first[:3]]


def test_a_table_without_a_suspicious_image_lists_none(tmp_path: Path) -> None:
    with open_views(str(write_verdicts(tmp_path, [row(f"{number}.jpg", "real", 1.0) for number in range(3)]))) as views:
        assert suspicion(views, limit=2) == Suspicion(0, 0, 0, 0, 0, 3, 0, (), ())


@pytest.mark.parametrize(
    ("given", "folder", "name"),
    [
        ({}, "/photos", "a/b.jpg"),
        ({}, "/photos/", "a/b.jpg"),
        ({}, None, "/photos/a/b.jpg"),
        ({"uri": "/here/c.jpg"}, "/photos", "c.jpg"),
        ({"uri": "/shards/x.tar", "key": "000001", "offset": 512}, None, "/shards/x.tar: 000001"),
        ({"uri": "/shards/x.tar.gz", "key": "000001", "unit": "/shards/x.tar.gz#1"}, None, "/shards/x.tar.gz: 000001"),
        ({"uri": "https://u:p@example.org/c.jpg?sig=1", "key": "7"}, None, "https://***@example.org/c.jpg?***"),
    ],
)
def test_a_name_is_what_a_person_finds(
    given: dict[str, Any], folder: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/here")
    plain = row("a/b.jpg", "real", 0.0) | {"declared": None, "contradicted": False, "detail": None}
    assert Suspect.of(plain | given).name(folder) == name


def test_what_a_file_declares_is_cut_to_a_name() -> None:
    assert short("Midjourney 6") == "Midjourney 6"
    assert short(WEB_UI) == "SD.Next dreamy_8"
    assert len(short("x" * 500)) == 60 and short("x" * 500).endswith("…")
    assert short("Steps: 4, Sampler: Euler") == "Steps: 4, Sampler: Euler"
