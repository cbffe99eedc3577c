"""The command that writes the page of a scan, and the page in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from jobs.report import main
from tests.reported import EMBEDDED, NAMES, reported

CHROMIUM = Path("/usr/bin/chromium")
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with images, and its page."""
    made = reported(tmp_path_factory.mktemp("reported"))
    assert main(["--table", str(made)]) == 0
    return made


def test_the_command_says_where_the_page_and_the_list_are(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a page.html"
    assert main(["--table", str(table), "--output", str(output), "--model", EMBEDDED.digest[:6]]) == 0
    told = capsys.readouterr().out
    assert output.as_uri() in told and str(tmp_path / "suspicious.csv") in told
    assert output.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--table", "/nowhere"], "--table '/nowhere' is not there"),
        (["--model", "ffff"], f"'ffff' is not a model of the table, which has {EMBEDDED.digest}"),
        (["--output", "nothing://x/report.html"], "nothing"),
    ],
)
def test_what_cannot_be_made_is_refused(
    flags: list[str], words: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*([] if "--table" in flags else ["--table", str(table)]), *flags]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_cannot_be_written_ends_with_3(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--table", str(table), "--output", str(tmp_path / "file" / "report.html")]) == 3


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine, without a window."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: the page is not looked at in a browser here (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Seen:
    """The page as a browser has it: what it complained of, and what it asked for beyond the file itself."""

    def __init__(self, chromium: Browser, file: Path, *, dark: bool, width: int) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        context = chromium.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": width, "height": 900}, bypass_csp=False
        )
        self.page: Page = context.new_page()
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(file.as_uri())

    def close(self) -> None:
        """Leave the page."""
        self.page.context.close()


@pytest.fixture(params=[(False, 1400), (True, 390)], ids=["light and wide", "dark and narrow"])
def seen(request: pytest.FixtureRequest, chromium: Browser, table: Path) -> Iterator[Seen]:
    dark, width = request.param
    opened = Seen(chromium, table / "report.html", dark=dark, width=width)
    yield opened
    opened.close()


def test_the_page_says_nothing_on_the_console_asks_for_nothing_and_fits(seen: Seen) -> None:
    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [seen.page.url]
    wide, shown = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= shown
    assert seen.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_the_page_is_accessible(chromium: Browser, table: Path, tmp_path: Path) -> None:
    # axe is a script, which the page's own policy forbids; so it looks at a copy without that line
    policy = '<meta http-equiv="Content-Security-Policy"'
    lines = (table / "report.html").read_text().splitlines(keepends=True)
    copy = tmp_path / "copy.html"
    copy.write_text("".join(line for line in lines if not line.startswith(policy)))
    assert len(copy.read_text()) < sum(map(len, lines))
    for dark in (False, True):
        opened = Seen(chromium, copy, dark=dark, width=1000)
        for details in opened.page.locator("details").all():
            details.evaluate("element => element.open = true")
        result = Axe().run(opened.page).response
        assert len(result["passes"]) > 20
        found = result["violations"]
        told = [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found if one["impact"] in SERIOUS
        ]
        assert told == [], json.dumps(told, indent=1)
        opened.close()


def test_the_keyboard_reaches_the_images(seen: Seen) -> None:
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the images"
    seen.page.keyboard.press("Enter")
    reached = []
    for _ in range(6):
        seen.page.keyboard.press("Tab")
        reached.append(seen.page.evaluate("document.activeElement.closest('.gallery li') !== null"))
    assert any(reached)
    outline = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_names_are_text_and_links_lead_to_the_files(seen: Seen, table: Path) -> None:
    links = seen.page.locator(".gallery .name a")
    targets = set(links.evaluate_all("all => all.map(link => link.href)"))
    assert {(table.parent / "photos" / name).as_uri() for name in NAMES} & targets
    assert all(url.startswith(("file:///", "https://example.org/")) for url in targets)
    assert seen.page.locator("script").count() == 0


def test_the_letters_of_a_chart_are_as_large_on_a_telephone(seen: Seen) -> None:
    shown = seen.page.locator("svg.chart:visible")
    scales = shown.evaluate_all("all => all.map(chart => chart.getScreenCTM().a)")
    assert len(scales) == seen.page.locator("svg.chart").count() / 2 > 0
    assert all(9 <= scale * 11 <= 15 for scale in scales), "pixels of letters that are 11 units high"


UNFOLDED = """
    [...document.querySelectorAll("details > :not(summary)")].map(
        one => one.checkVisibility({contentVisibilityAuto: true}) && one.getBoundingClientRect().height > 0)
"""
"""Of each part that is folded on the screen, whether it shows; a change of the medium reaches it with the next frame."""


def test_the_page_prints_whole(chromium: Browser, table: Path, tmp_path: Path) -> None:
    opened = Seen(chromium, table / "report.html", dark=True, width=1000)
    assert not any(opened.page.evaluate(UNFOLDED))
    opened.page.emulate_media(media="print")
    opened.page.wait_for_function(f"(all => all.length > 2 && all.every(Boolean))({UNFOLDED.strip()})", timeout=30_000)
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert opened.page.pdf(path=tmp_path / "page.pdf", format="A4").startswith(b"%PDF")
    opened.close()
