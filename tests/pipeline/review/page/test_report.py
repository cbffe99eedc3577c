"""Laws of the page: whole in one file, nothing from outside is obeyed, and every table gives one."""

import re
import shutil
from pathlib import Path

import pytest

from mole.config import describe
from mole.errors import SettingsError
from pipeline.review.analysis.history import PROGRESS
from pipeline.review.analysis.pictures import FILE_GONE
from pipeline.review.page import report
from pipeline.review.page.report import PAGE, write_report
from pipeline.review.page.suspicious_csv import NAME
from pipeline.review.page.wording import percent
from pipeline.scan.table.views import RUN
from pipeline.storage import storage
from tests.pages import Page
from tests.reported import EMBEDDED, SCRIPT, reported, write_run
from tests.verdicts import verdict_row, write_verdicts

COURSE = "the record of the run of 2026-11-01 00:00 UTC" if PROGRESS in RUN else "the times of the rows"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with its images, and its page."""
    made = reported(tmp_path_factory.mktemp("reported"))
    write_report(str(made))
    return made


@pytest.fixture(scope="module")
def page(table: Path) -> str:
    return (table / PAGE).read_text()


def test_a_page_is_one_file_that_fetches_nothing_and_runs_nothing(page: str) -> None:
    read = Page(page)
    assert all(place.startswith("data:") for place in read.fetched) and len(read.fetched) > 10
    assert not {"script", "iframe", "object", "form"} & set(read.tags)
    assert "default-src 'none'" in page and "url(" not in page and "@import" not in page
    assert len(page) < 5_000_000


def test_names_from_outside_are_shown_and_never_obeyed(page: str) -> None:
    read = Page(page)
    assert SCRIPT in read.texts and SCRIPT not in page
    assert "\u202e" not in page and "\\u202e" in page and "two\\nlines" in page
    assert all(
        re.match(r"(#|file:///|https://example\.org/a\.jpg\?id=1$|suspicious\.csv$)", link) for link in read.links
    )
    assert "user:pw" not in page


def test_links_within_the_page_lead_somewhere(page: str) -> None:
    read = Page(page)
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert len(read.ids) == len(set(read.ids))


def test_a_page_says_what_was_scanned_by_which_model_and_how_far(page: str, table: Path) -> None:
    told = Page(page).texts.replace("\N{NO-BREAK SPACE}", " ")
    for words in (
        str(table.parent / "photos"), EMBEDDED.digest, "the detector shipped", "bsds500",
        "Of 17 images with a score", "3 files say that they were generated", "truncated or damaged: fetch it again",
        "Against the model before", "yes: 9 files and archives have a verdict for every image", COURSE,
    ):  # fmt: skip
        assert words in told


def test_the_list_lies_beside_the_page_and_holds_what_it_says(table: Path, tmp_path: Path) -> None:
    made = write_report(str(table), str(tmp_path / "new" / "own.html"))
    assert Path(made.page) == tmp_path / "new" / "own.html" and Path(made.page).stat().st_size == made.size
    assert Path(made.sheet) == tmp_path / "new" / NAME
    assert len(Path(made.sheet).read_bytes().split(b"\n")) == made.suspicious + 2
    assert f"lists the {made.suspicious} images" in Page(Path(made.page).read_text()).texts


def test_images_that_are_gone_say_so(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "table"
    shutil.copytree(table, copy)
    (table.parent / "photos").rename(table.parent / "moved")
    try:
        write_report(str(copy))
    finally:
        (table.parent / "moved").rename(table.parent / "photos")
    read = Page((copy / PAGE).read_text())
    assert FILE_GONE in read.texts and "Errno" not in read.texts and len(read.fetched) == 1
    assert not [link for link in read.links if link.startswith("file:")]
    assert re.search(rf"(\d+) of \d+ pictures are no longer at {re.escape(str(table.parent / 'photos'))}\.", read.texts)


def test_a_model_that_is_not_at_hand_leaves_its_error_rates_out(tmp_path: Path) -> None:
    table = reported(tmp_path, model="feedfacefeedfacefeedfacefeedface")
    write_report(str(table))
    told = Page((table / PAGE).read_text()).texts
    assert "not at hand on this machine" in told and "it is not known how often this model is wrong" in told
    assert "the lowest probability of an image called generated is" in told


def test_a_model_without_known_rates_says_what_would_tell_them(tiny: Path, tmp_path: Path) -> None:
    digest = describe(tiny).digest
    table = write_verdicts(tmp_path, [verdict_row("a.tar#1", 0, model=digest, last=True, verdict="real")])
    (table / "_runs").mkdir()
    settings = {"source": ["a.tar"], "model": str(tiny)}
    (table / "_runs" / "r.json").write_text(
        f'{{"id": "r", "job": "scan", "started": "2026-11-01T00:00:00+00:00", "settings": {str(settings).replace(chr(39), chr(34))}}}'
    )
    write_report(str(table))
    told = Page((table / PAGE).read_text()).texts
    assert (
        str(tiny) in told
        and "mole-scan train evaluate gives both rates" in told
        and "runs still, or was killed" in told
    )


@pytest.mark.parametrize(
    "rows",
    [
        [verdict_row("a.tar#1", 0, status="missing", last=True)],
        [verdict_row("a.tar#1", 1, uri=None, key=None, offset=None, length=None, status="empty")],
        [verdict_row("", 0, verdict="generated", probability=1.0, logit=float("inf"))],
        [verdict_row("a.tar#1", 0, verdict="real", probability=0.0, logit=-90.0, last=True)],
    ],
    ids=["no score", "no place", "no unit and an endless score", "one image"],
)
def test_every_table_gives_a_page(rows: list[dict[str, object]], tmp_path: Path) -> None:
    table = write_verdicts(tmp_path, rows)
    write_report(str(table))
    page = (table / PAGE).read_text()
    assert "NaN" not in page and "None" not in page
    Page(page)


def test_a_table_in_a_store_has_its_page_there(table: Path) -> None:
    for file in table.rglob("*"):
        if file.is_file() and file.suffix in {".parquet", ".json"}:
            storage.write(f"memory://lake/{file.relative_to(table)}", file.read_bytes())
    made = write_report("memory://lake")
    assert made.page.endswith("lake/report.html")
    assert len(Page(storage.read(made.page).decode()).fetched) > 10
    assert storage.read(made.sheet).startswith(b"path,verdict")


def test_a_folder_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no verdict table"):
        write_report(str(tmp_path))


def test_each_gallery_has_its_title() -> None:
    assert set(report.GALLERIES) == {"suspicious", "doubtful", "declared generated", "declared camera"}


def test_a_page_of_two_scans_says_so_and_what_the_last_one_left(tmp_path: Path) -> None:
    digest = EMBEDDED.digest
    table = write_verdicts(
        tmp_path, [verdict_row("/a/1.jpg#1", 0, model=digest, status="missing", last=True, uri=None)]
    )
    write_run(table, {"source": ["/a"], "model": "embedded"}, {"model": digest, "units_left": 0})
    write_run(
        table, {"source": ["/b"], "model": "embedded"},
        {"model": digest, "stopped": "--max-images", "units": 30, "units_left": 25, "images_left": 25, "law": "open"},
        name="r2",
    )  # fmt: skip
    write_report(str(table))
    told = Page((table / PAGE).read_text()).texts.replace("\N{NO-BREAK SPACE}", " ")
    assert "This table holds images of 2 sources: /b, /a; shares are of all of them." in told
    left = "25 of 30 files are not scanned yet (--max-images ended the run), of /b"
    assert f"The scan is not complete: {left}." in told and f"no: {left}; start the same command again" in told
    assert "ended by --max-images after 1 min" in told
    threshold = percent(EMBEDDED.calibration.thresholds(0.5)[1]).replace("\N{NO-BREAK SPACE}", " ")
    assert f"generated from a probability of {threshold} up, real below" in told, "though no image was scored"


def test_a_page_without_faults_or_pictures_has_no_link_to_them(tmp_path: Path) -> None:
    rows = [
        verdict_row(f"/a/{at}.jpg#1", 0, last=True, verdict="real", logit=-9.0, probability=0.0001) for at in (1, 2)
    ]
    table = write_verdicts(tmp_path, rows)
    write_report(str(table))
    read = Page((table / PAGE).read_text())
    assert "2, each with a verdict" in read.texts and "#faults" not in read.links
    assert "Not shown, since no image belongs there: Most suspicious; " in read.texts and "img" not in read.tags
    assert "There is no chart: the images were too few" in read.texts
