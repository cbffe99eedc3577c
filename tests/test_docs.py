"""The documents name files that exist, link to places that are there, and show commands that the jobs take."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from docs import build
from jobs.console import COMPLETION, SCAN_JOBS, TRAIN_JOBS, settings_of
from mole.errors import SettingsError
from pipeline.runtime.invocation import TRAINING_GROUP
from tests.shell import FENCED, INDENTED, PAGES, ROOT, blocks, name_of, text_of

HISTORY = "CHANGELOG.md"
"""Names files as they were called when it was written."""
LONGEST_README = 200

FOLDERS = ("mole", "pipeline", "jobs", "tests", "benchmarks", "examples", "deploy", "docs")
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\]\([^)]*\))*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*(?:::[\w…]+)?")
MODULE = re.compile(r"python -m (benchmarks(?:\.\w+)+)")
JOB = re.compile(r"(.*/)?jobs/\w+\.py")
COMMAND = re.compile(r"mole-scan|jobs/\w+\.py")
INLINE = re.compile(r"(mole-scan|(python )?jobs/\w+\.py) ")
ELIDED = "…"
RECORD = re.compile(r"\d{3}-[a-z0-9-]+\.md")


@cache
def prose(page: Path) -> str:
    """Give a page without its blocks of code."""
    return INDENTED.sub("\n\n", FENCED.sub("", text_of(page)))


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links name them."""
    found: Counter[str] = Counter()
    names = set()
    for heading in HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        names.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return names


def lines(block: str) -> Iterator[str]:
    """Yield the commands of a block, each in one line."""
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        bare = line.strip().removeprefix("$ ")
        if COMMAND.search(bare) and not bare.startswith("#"):
            yield bare


def commands(line: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the jobs that a line runs, each with its arguments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    words: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|;&<>"):
            words.append([])
        else:
            words[-1].append(word)
    for run in words:
        for place, word in enumerate(run):
            after = run[place + 1 :]
            if Path(word).name == "mole-scan" and not place:
                yield "mole-scan", after
                break
            if JOB.fullmatch(word) and (not place or "python" in run[place - 1]):
                yield Path(word).stem, after
                break


def complaints(job: str, words: list[str]) -> list[str]:
    """List what a job refuses of a command line, less what is not given and what only a file could hold."""
    if job == "mole-scan":
        if not words or words[0].startswith("-") or words[0] == COMPLETION:
            return []
        job, words = (words[1], words[2:]) if words[0] == TRAINING_GROUP else (words[0], words[1:])
        if job not in SCAN_JOBS | TRAIN_JOBS:
            return [f"no command {job}"]
    settings: Any = settings_of(job)
    if "--help" in words:
        return []
    try:
        read, rest = settings.command_line().parse_known_intermixed_args(words)
    except SettingsError as reason:
        return [str(reason)]
    unknown = [f"no flag {word}" for word in rest if word.startswith("-")]
    values = {name: value for name, value in vars(read).items() if name in settings.model_fields}
    try:
        settings.model_validate(values)
    except ValidationError as reason:
        wrong = [error for error in reason.errors() if error["type"] != "missing" and error["loc"]]
        return unknown + [f"{error['loc'][0]}: {error['msg']}" for error in wrong]
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_of_this_repository_that_a_page_names_exists(page: Path) -> None:
    absent = []
    for span in SPAN.findall(text_of(page)):
        if page.name == HISTORY or not PATH.fullmatch(span):
            continue
        path, _, test = span.partition("::")
        if not list(ROOT.glob(path.rstrip("/"))):
            absent.append(path)
        elif test and f"def {test.rstrip(ELIDED)}" not in (ROOT / path).read_text(encoding="utf-8"):
            absent.append(span)
    absent += [
        module
        for module in MODULE.findall(text_of(page))
        if not (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    ]
    assert absent == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_is_one_that_its_job_takes(page: Path) -> None:
    shown = [line for block in blocks(page) for line in lines(block)]
    inline = (" ".join(span.split()) for span in SPAN.findall(prose(page)))
    shown += [span for span in inline if INLINE.match(span) and not span.rpartition(" ")[2].startswith("--")]
    refused = [(line, wrong) for line in shown for job, words in commands(line) if (wrong := complaints(job, words))]
    assert refused == []


def test_commands_are_found_and_wrong_ones_are_refused() -> None:
    found = [line for page in PAGES for block in blocks(page) for line in lines(block)]
    assert len(found) > 50
    [(job, words)] = commands("ray job submit --working-dir . -- /srv/.venv/bin/python jobs/scan.py --sauce a.tar")
    assert job == "scan" and complaints(job, words) == ["no flag --sauce"]
    [(job, words)] = commands("mole-scan train finetune --samples DATA --epochs many   # a comment")
    assert job == "mole-scan" and len(complaints(job, words)) == 1
    assert complaints("mole-scan", ["scna", "photos/"]) == ["no command scna"]


def test_the_table_of_settings_is_what_the_models_say() -> None:
    assert build.PAGE.read_text(encoding="utf-8") == build.page(), "python docs/build.py writes it again"


def test_the_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= LONGEST_README


def test_every_page_is_in_the_order_of_the_site() -> None:
    order = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = [name_of(page) for page in PAGES if not RECORD.fullmatch(page.name)]
    assert [name for name in named if f": {name}\n" not in order] == []
    records = text_of(ROOT / "docs/decisions/README.md")
    assert [page.name for page in PAGES if RECORD.fullmatch(page.name) and f"({page.name})" not in records] == []
