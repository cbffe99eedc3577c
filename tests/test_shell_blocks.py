"""Every command that a page shows is run: its shell blocks, in their order, in a folder of the page's own.

The README, the page for beginners and those of `QUICK` run always, the others where MOLE_RUN_COMMANDS is set.

They run as they stand, in a shell, on small data; what stands for something of the reader's is replaced by `Shell.stands`.
A Ray head, an S3 server and a web server on this machine take the place of a cluster, a lake and the web.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from pipeline.labels import append
from pipeline.registry import Registry
from pipeline.scan.table.views import ask
from tests.heads import Head, ray_head
from tests.pictures import picture, samples, write_shard
from tests.pipeline.scan.reading.test_inventory import row, write_inventory
from tests.shell import PAGES, PROGRAMS, PROMPT, ROOT, Shell, blocks, commands, commands_of, name_of, quoted
from tests.stores import REGION, WRITER, s3_server
from tests.tinted import collect
from tests.tiny import tiny_checkpoint
from tests.web import site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]  # a test's first fixture may run the README and a training
long = pytest.mark.skipif(
    "MOLE_RUN_COMMANDS" not in os.environ,
    reason="runs the commands of all other pages, after a training, for many minutes: MOLE_RUN_COMMANDS=1",
)

BEGINNERS = "docs/getting-started.md"
QUICK = ("CONTRIBUTING.md", "docs/library.md", "docs/report.md")
"""Pages that want nothing of a training and take some seconds."""
NOT_RUN = {
    r"make (setup|test|model|chaos|soak|fuzz)\b": "installs packages, runs these tests, trains, breaks or scans for hours",
    r"make demo": "installs packages, then scans what the README scans as its second command",
    r"\S*pre-commit ": "changes the hooks of this clone",
    r"\. \.venv": "is how a reader comes by the commands; with `ray start --head` behind it, tests/heads.py starts it",
    r"ray (up|down|dashboard) ": "starts machines of a cloud; tests/test_cluster.py and tests/test_deploy.py check the files",
    r"ray job submit --address ": "sends a job to a cluster with GPUs",
    r"prometheus ": "serves for ever; tests/test_monitoring.py checks its configuration",
    r"promtool ": "is run by tests/test_monitoring.py",
    r"kubectl kustomize ": "is run by tests/test_deploy.py where kubectl is",
    r"kubectl |docker |pip |install -D |cp deploy/": "changes a cluster, a registry of images or the system",
    r"mole-scan train (finetune|promote) .*(--base-tower|pe\.toml|s3://bucket)": "downloads weights and wants a GPU",
    r"mole-scan train pack ": "calibrates OpenAI's whole tower; tests/jobs/test_pack.py packs a small one",
}
"""Command lines that are only read by tests/test_docs.py, and why."""
SMALL = {
    "MOLE_COMPACT_GRACE": "0.1",
    "MOLE_BROWSE_NO_OPEN": "true",
    "MOLE_AUDIT_MAX_LEAK": "1",
    "MOLE_FINETUNE_EPOCHS": "1",
    "MOLE_FINETUNE_EPOCH_IMAGES": "64",
    "MOLE_FINETUNE_HEAD_IMAGES": "96",
    "MOLE_FINETUNE_BATCH_SIZE": "8",
    "MOLE_FINETUNE_AUGMENTATIONS": "1",
    "MOLE_FINETUNE_PRECISION": "float32",
    "MOLE_FINETUNE_FALSE_POSITIVE_RATE": "0.4",
    "MOLE_FINETUNE_ACCEPT_LEAK": "true",
}
"""Settings that keep a command short, given as a user may give them: by the environment."""


def reason(line: str) -> str:
    """Say why a command line is not run; nothing where it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, line)), "")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server, and an Iceberg catalog `lake` in SQLite: the variables by which clients find them."""
    folder = tmp_path_factory.mktemp("lake")
    (folder / "warehouse").mkdir()
    catalog = {"TYPE": "sql", "URI": f"sqlite:///{folder}/catalog.db", "WAREHOUSE": f"file://{folder}/warehouse"}
    iceberg = {f"PYICEBERG_CATALOG__LAKE__{name}": value for name, value in catalog.items()}
    with s3_server(folder / "store") as port:
        yield {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **WRITER, **REGION, **iceberg}


@pytest.fixture(scope="module")
def head(lake: dict[str, str]) -> Iterator[Head]:
    """A Ray head whose jobs find the lake."""
    with ray_head(ROOT, **lake) as running:
        yield running


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """A web server with one image."""
    with site({"/a.jpg": lambda request: request.whole(picture(901))}) as running:
        yield running.url


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, head: Head, lake: dict[str, str], web: str) -> Shell:
    """A folder with what the pages take for granted, the same as a clone of the repository with a reader's own files."""
    folder = tmp_path_factory.mktemp("pages") / "work"
    for number in range(3):
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        (folder / f"photos/{number}.jpg").write_bytes(picture(number))
    (folder / "examples").symlink_to(ROOT / "examples")
    shutil.copytree(folder / "photos", folder / "srv-photos")
    fill_bucket(lake, folder)
    environment = head.environment | SMALL | lake
    environment |= {"HOME": str(folder), "RAY_ADDRESS": f"127.0.0.1:{head.port}"}
    environment |= {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{head.server}"}
    stands = {r"(?<=[ =])/srv/(?=photos|verdicts)": f"{folder}/srv-", r"https://example\.com": web}
    stands |= {r"(/srv/mole-scan/)?\.venv/bin/": f"{Path(sys.executable).parent}/"}
    return Shell(folder, environment, stands)


def fill_bucket(lake: dict[str, str], folder: Path) -> None:
    """Put the sample shards, three photographs and an S3 Inventory of those into the bucket."""
    fs = fsspec.filesystem(
        "s3",
        key=lake["AWS_ACCESS_KEY_ID"],
        secret=lake["AWS_SECRET_ACCESS_KEY"],
        client_kwargs={"endpoint_url": lake["AWS_ENDPOINT_URL"], "region_name": lake["AWS_DEFAULT_REGION"]},
    )
    fs.mkdir("lake")
    for shard in sorted((ROOT / "examples/shards").glob("*.tar")):
        fs.pipe_file(f"lake/shards/{shard.name}", shard.read_bytes())
    rows = [row(f"photos/{number}.jpg") for number in range(3)]
    for one in rows:
        fs.put_file(str(folder / one["key"]), f"lake/{one['key']}")
    manifest = write_inventory(folder / "inventory", "Parquet", rows, files=1)
    fs.put_file(manifest, "lake/2026-11-01T01-00Z/manifest.json")
    fs.mkdir("reports")
    fs.put_file(str(folder / "inventory/data/0.parquet"), "reports/reports/lake/all/data/0.parquet")


@pytest.fixture(scope="module")
def readme(shell: Shell) -> dict[str, str]:
    """What the commands of the README print; the tables that they leave are there for the other pages."""
    printed = shell.walk(ROOT / "README.md", reason, compared=True)
    named = ("unit", "index", "uri", "key", "content_hash", "model", "verdict", "probability")
    for table in ("verdicts", "photos-verdicts"):
        rows = ask(str(shell.folder / table), "FROM current").to_pylist()
        labels = [
            {"label": "generated" if one["verdict"] == "generated" else "real"} | {name: one[name] for name in named}
            for one in rows
        ]
        append(str(shell.folder / "labels"), labels)
    return printed


@pytest.fixture(scope="module")
def trained(readme: dict[str, str], shell: Shell, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder with the version that the page about training makes, promoted against its refusal."""
    work = another(shell, tmp_path_factory.mktemp("trained"))
    tiny = str(tiny_checkpoint(work.folder / "challenger"))
    for job in ("SCAN", "ESTIMATE"):
        work.environment[f"MOLE_{job}_MODEL"] = tiny
    work.environment["MOLE_FINETUNE_BASE"] = tiny
    work.stands |= {r"\bDATA\b": "known", r"\bWEIGHTS\b": str(shared / "weights")}
    collect(work.folder / "known", {"photos": "photos/0_real", "red": "red/1_fake", "blue": "blue/1_fake"})
    work.walk(ROOT / "docs/train.md", reason)
    registry = Registry(str(work.folder / "models"))
    [version] = registry.digests()
    registry.promote(version, "for the pages that follow", replacing=None)
    return work


def schedule(work: Shell) -> None:
    """Have lines of cron run at once, with settings files as the page about operating asks for."""
    work.stands |= {r"^(\S+ +){5}cd /srv/mole-scan && ": "", r"\\%": "%", r"(?<=--config )(?=\w)": f"{work.folder}/"}
    registry = f"{work.folder}/models"
    small = {name.lower(): value for name, value in work.environment.items() if name.startswith("MOLE_FINETUNE_")}
    files = {
        "scan": {"source": "s3://lake/photos/", "output": "s3://lake/verdicts"},
        "rescan": {"table": "s3://lake/verdicts", "registry": registry, "model": "promoted"},
        "finetune": {name.removeprefix("mole_finetune_"): value for name, value in small.items()}
        | {"samples": f"{work.folder}/known", "registry": registry},
    }
    for name, settings in files.items():
        lines = [f"{key} = {value if value == 'true' else json.dumps(value)}\n" for key, value in settings.items()]
        (work.folder / f"{name}.toml").write_text("".join(lines))


def another(shell: Shell, folder: Path) -> Shell:
    """Copy a shell and its folder."""
    shutil.copytree(shell.folder, folder / "work", symlinks=True)
    return Shell(folder / "work", dict(shell.environment), dict(shell.stands))


def test_the_readme_runs_and_prints_what_it_quotes(readme: dict[str, str]) -> None:
    assert sum(bool(command.output) for command in commands_of(ROOT / "README.md")) == 4
    assert len(readme) >= 6


def test_beginners_are_shown_what_the_demo_prints(readme: dict[str, str], shell: Shell) -> None:
    [demo] = [command for command in commands_of(ROOT / BEGINNERS) if command.output]
    assert demo.line == "make demo"
    dry = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in readme if f".venv/bin/{line}" in dry]
    assert quoted(demo.output, readme[line], shell.folder) == ""


def test_the_commands_for_beginners_run(readme: dict[str, str], shell: Shell) -> None:
    shell.walk(ROOT / BEGINNERS, reason)


@pytest.mark.parametrize("name", QUICK)
def test_the_commands_of_a_quick_page_run(name: str, readme: dict[str, str], shell: Shell, tmp_path: Path) -> None:
    work = another(shell, tmp_path)
    if name == "docs/library.md":
        shutil.rmtree(work.folder / "photos")
    work.walk(ROOT / name, reason)


FOLLOWING = [
    page
    for page in PAGES
    if name_of(page) not in ("README.md", BEGINNERS, "docs/train.md", *QUICK)
    and any(not reason(command.line) for command in commands_of(page))
]


@long
@pytest.mark.parametrize("page", FOLLOWING, ids=name_of)
def test_the_commands_of_a_page_run(page: Path, trained: Shell, tmp_path: Path) -> None:
    work = another(trained, tmp_path)
    folder = work.folder
    if page.name == "scan.md":
        shutil.rmtree(folder / "photos-verdicts")  # which are of the images in the folder that this one is a copy of
        for number in range(100):
            write_shard(folder / f"shards/{number:05}.tar", samples(1, start=number))
        write_shard(folder / "more.tar", samples(2, start=200))
        pd.DataFrame({"path": [str(one) for one in (folder / "photos").iterdir()]}).to_parquet(
            folder / "listing.parquet"
        )
    elif page.name == "calibration.md":
        for number in range(303):
            (folder / f"own-{number}.jpg").write_bytes(picture(1000 + number))
        pd.DataFrame({"path": [one.name for one in folder.glob("own-*.jpg")]}).to_csv(folder / "own.csv", index=False)
        judge = [
            (str(one.relative_to(folder)), "fake" if "1_fake" in str(one) else "real", one.parent.parent.name)
            for one in folder.glob("known/*/*/*.jpg")
        ]
        pd.DataFrame(judge, columns=["path", "label", "generator"]).to_csv(folder / "judged.csv", index=False)
    elif page.name == "operations.md":
        schedule(work)
    elif page.name == "evaluate.md":
        registry = Registry(str(folder / "models"))
        [version] = registry.digests()
        other = registry.add(tiny_checkpoint(tmp_path / "other", seed=1), {})
        registry.promote(other, "so that the version is a candidate", replacing=version)
        os.utime(folder / "models/versions" / version)  # the newest is the one that DIGEST stands for
    work.walk(page, reason)


def test_every_reason_not_to_run_a_command_stands_for_one_that_is_shown() -> None:
    shown = [command.line for page in PAGES for command in commands_of(page)]
    assert [pattern for pattern in NOT_RUN if not any(re.match(pattern, line) for line in shown)] == []
    assert sum(not reason(line) for line in shown) > 40


def test_no_block_hides_a_command() -> None:
    hidden = [
        (name_of(page), line)
        for page in PAGES
        for block in blocks(page)
        if not commands(block)
        for line in block.splitlines()
        if PROGRAMS.match(line.strip().removeprefix(PROMPT))
    ]
    assert hidden == []


def test_a_quotation_that_was_not_printed_is_found() -> None:
    printed = "real    3\n\nrows in 2.5 s\ntable: /work/verdicts\n"
    assert quoted(("real 3", "rows in 9.1 s", "table: /home/you/mole-scan/verdicts"), printed, Path("/work")) == ""
    assert quoted(("…", "table: …"), printed, Path("/work")) == ""
    assert quoted(("real 4", "…"), printed, Path("/work")) == "real 4"
    assert quoted(("real 3", "table: …"), printed, Path("/work")) == "table: …"
    assert quoted(("real 3",), printed, Path("/work")) == "quoted too little: rows in N s"
