"""The command that serves a table to a browser: looked through with keys, labelled, killed, and read by a training."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jobs import export
from jobs.browse import main
from pipeline.labels import current_labels
from pipeline.tune.data.layout import recognise
from tests.conftest import ROOT
from tests.pipeline.review.browsing.conftest import made

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make setup has it")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make setup has it")

CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/google-chrome") if os.path.exists(path)), None)
PATIENCE = 60_000
"""Milliseconds; a machine may be busy."""
SEVERE = {"serious", "critical"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of nine images."""
    return made(tmp_path_factory.mktemp("browse"))


@contextmanager
def served(table: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command; give the address that it prints."""
    command = [sys.executable, "jobs/browse.py", "--table", str(table), "--labeller", "ada", "--no-open"]
    own = os.environ | {"TMPDIR": str(table.parent)}  # what a killed command leaves goes with the table
    with subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def grave(page: Any) -> list[str]:
    """What axe finds serious on a page."""
    found = axe.Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in SEVERE]


def test_a_table_is_looked_through_and_labelled_by_keys_and_a_training_reads_it_and_its_export(
    table: Path, browser: Any
) -> None:
    complaints: list[str] = []
    with served(table) as (address, process):
        page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        playwright.expect.set_options(timeout=PATIENCE)
        page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda told: complaints.append(str(told)))
        page.goto(address)
        page.wait_for_selector(".cards")
        assert "token" not in page.url
        page.get_by_label("Real").first.check()
        page.get_by_role("button", name="Show", exact=True).click()
        playwright.expect(page.locator("h1")).to_have_text("4 images")
        page.wait_for_load_state()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        playwright.expect(page.locator(".verdict p")).to_contain_text("Called real")
        page.wait_for_load_state()  # keys are heard from then on
        first = page.url
        beside = page.context.new_page()
        beside.goto(first)
        playwright.expect(beside.get_by_role("button", name="Undo")).to_be_disabled()
        page.bring_to_front()
        page.keyboard.press("g")
        playwright.expect(page.locator("#said")).to_contain_text("marked generated")
        page.keyboard.press("u")
        playwright.expect(page.locator("#said")).to_contain_text("marked unsure")
        page.keyboard.press("Control+z")
        playwright.expect(page.locator("#said")).to_contain_text("is marked generated")
        beside.bring_to_front()
        beside.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # without a screen no tab is hidden
        playwright.expect(beside.locator(".choice.generated")).to_have_attribute("aria-pressed", "true")
        playwright.expect(beside.get_by_role("button", name="Undo")).to_be_enabled()
        page.bring_to_front()
        page.keyboard.press("n")
        page.keyboard.type("a note with r, g and z in it")
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowRight")
        page.wait_for_url(lambda url: url != first)
        playwright.expect(page.locator("#said")).to_contain_text("note saved")
        second = page.url
        page.wait_for_load_state()
        page.get_by_label("Note").fill("left by a click, and not marked")
        page.get_by_role("link", name="Previous").click()
        page.wait_for_url(first)
        playwright.expect(page.locator("#said")).to_contain_text("note saved; the image is not marked")
        page.get_by_role("button", name="Undo").click()
        playwright.expect(page.locator("#said")).to_contain_text("Undone, on another image")
        page.goto(second)
        playwright.expect(page.get_by_label("Note")).to_have_value("")
        page.wait_for_load_state()
        page.keyboard.press("r")
        playwright.expect(page.locator("#said")).to_contain_text("marked real")
        page.keyboard.press("?")
        playwright.expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        playwright.expect(page.get_by_role("dialog")).to_be_hidden()
        page.keyboard.press("k")
        page.wait_for_url(first)
        assert page.get_by_label("Note").input_value() == "a note with r, g and z in it"
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert grave(page) == []
        page.keyboard.press("Escape")
        page.wait_for_selector(".cards")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert grave(page) == []
        assert complaints == []
        process.send_signal(signal.SIGKILL)
    said = {row["label"]: row for row in current_labels(str(table.parent / "labels")).to_pylist()}
    assert said["generated"]["note"] == "a note with r, g and z in it"
    assert said["real"]["labelled_by"] == "ada"
    layout = recognise(str(table), reviews=str(table.parent / "labels"))
    assert str(layout) == "a verdict table with labels: 1 real, 1 fake, 1 sources"
    labels, shards = str(table.parent / "labels"), table.parent / "exported"
    assert export.main([str(table), "--labels", labels, "--output", str(shards)]) == 0
    assert str(recognise(str(shards))).endswith(": 1 real, 1 fake, 1 sources")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_without_a_complaint(table: Path, sent: signal.Signals, code: int) -> None:
    with served(table) as (address, process):
        assert address.startswith("http://127.0.0.1:")
        process.send_signal(sent)
        assert process.wait(timeout=60) == code


def test_a_folder_without_a_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--table", str(tmp_path), "--no-open"]) == 2
    assert "holds no verdict table" in capsys.readouterr().err
