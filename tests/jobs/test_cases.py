"""Inputs that went wrong once, made by the programs in `shared/cases`, in one scan: each is its row, and the exit is 0."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from jobs.scan import main
from pipeline.scan.table.views import ask

CONTAINERS = (
    *("binary_uri", "corrupt_bz2", "double_colon", "fifo", "gz_named_tar", "json_array", "link_to_itself", "macos_tar"),
    *("multi_image", "nonutf8_name", "spark_folder", "sparse", "tsv_quote"),
)
IMAGES = {
    "comfy_exif": (".",),
    "deep_grey": (".",),
    "png_big_metadata": (".",),
    "sound_but_unread": (".",),
    "user_comment": (".",),
    "huge_dimension": ("huge.png",),
    "incomplete_progressive": ("incomplete.jpg",),
    "long_strip": ("1000000", "strip.png"),
    "progressive_scans": ("880", "scans.jpg"),
    "raw_thumbnail": ("raw.tif",),
}
SERVERS = {"http_no_length": 18955, "http_no_range": 18956}
"""Programs that serve until they are ended, and the port of each."""
SOURCES = (
    *("bin/list.parquet", "spark.parquet", "sparse_gnu.tar", "sparse_pax.tar", "bz/*", "tsv/list.tsv", "a::b", "colon"),
    *("json/array.json", "json/columns.json", "latin1", "eloop", "fifo", "ok.tar", "trail.tar.gz", "reallygz.tar"),
    *("mac.tar", "multi.tar", "images", "chunked.txt"),
)
OK = "ok"
RIGHT = {
    **{f"bin/{number}.jpg": [OK] for number in range(6)},
    "sparse_gnu.tar": [OK],
    "sparse_pax.tar": [OK],
    "bz/00000.tar": [OK] * 3,
    "bz/00001.tar.bz2": ["torn_archive"],
    "bz/00002.tgz": [OK] * 3,
    **{f"tsv/{number}.jpg": [OK] for number in range(6)},
    **{f"json/{number}.jpg": [OK] * 2 for number in range(6)},
    "a::b/x.jpg": [OK],
    "colon/Foo::Bar.jpg": [OK],
    "latin1/ok.jpg": [OK],
    "latin1/caf%E9.jpg": [OK],
    "eloop/ok.jpg": [OK],
    "eloop/self.jpg": ["missing"],
    "fifo/ok.jpg": [OK],
    "fifo/pipe.jpg": ["not_an_image"],
    "ok.tar": [OK] * 3,
    "trail.tar.gz": [OK] * 3,
    "reallygz.tar": [OK] * 3,
    "mac.tar": [OK] * 3,
    "multi.tar": [OK] * 4,
    **{f"images/{name}.png": [OK] for name in ("iccp", "itxt", "ztxt", "badcrc", "strip", "c")},
    **{f"images/{name}.jpg": [OK] for name in ("le_bom", "le_chinese", "unicode_but_utf8", "ascii_type", "swarm", "c")},
    **{
        f"images/{name}": [OK]
        for name in ("c.webp", "incomplete.jpg", "highlights_above_one.tif", "white_is_zero16.tif")
    },
    **{f"images/{name}.tif": ["unsupported"] for name in ("int32", "rgb_float", "double", "half", "raw")},
    "images/twelve_bit.jpg": ["unsupported"],
    "images/huge.png": ["too_large"],
    "images/scans.jpg": ["too_large"],
    "a.jpg": [OK] * 6,
    "big.tar": [OK] * 40,
}
"""The statuses of each place, by the end of its URI."""


@pytest.fixture(scope="module")
def cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the programs make."""
    folder = tmp_path_factory.mktemp("cases")
    (folder / "images").mkdir()
    for name in CONTAINERS:
        run(shared / "cases" / "containers" / f"{name}.py", folder)
    for name, arguments in IMAGES.items():
        run(shared / "cases" / "images" / f"{name}.py", folder / "images", *arguments)
    (folder / "images" / "_.tif").unlink()
    return folder


def run(program: Path, folder: Path, *arguments: str) -> None:
    """Run a program to its end."""
    environment = os.environ | {"CASES_OUT": str(folder)}
    subprocess.run(
        [sys.executable, str(program), *arguments], cwd=folder, env=environment, check=True, capture_output=True
    )


@contextmanager
def serving(shared: Path, folder: Path) -> Iterator[None]:
    """Run the programs that serve, and end them."""
    environment = os.environ | {"CASES_OUT": str(folder)}
    programs = [str(shared / "cases" / "containers" / f"{name}.py") for name in SERVERS]
    served = [
        subprocess.Popen(
            [sys.executable, program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for program in programs
    ]
    try:
        for port in SERVERS.values():
            end = time.monotonic() + 60
            while not answers(port):
                assert time.monotonic() < end, f"nothing serves on port {port}"
                time.sleep(0.05)
        yield
    finally:
        for process in served:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    """Tell whether somebody listens."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_each_input_that_went_wrong_once_is_its_row_and_harms_no_other(
    local_ray: None, shared: Path, cases: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(tmp_path / "o::x" / "[v2]")
    web = [f"http://127.0.0.1:{SERVERS['http_no_range']}/{name}" for name in ("big.tar", "list5.csv")]
    with serving(shared, cases):
        sources = [f"--source={place}" for place in [*(str(cases / name) for name in SOURCES), *web]]
        address = ray.get_runtime_context().gcs_address
        code = main(
            [
                *sources,
                "--output",
                table,
                "--model",
                str(tiny),
                "--carry",
                "caption",
                "--json",
                "--ray-address",
                address,
            ]
        )
    summary = json.loads(capsys.readouterr().out)
    assert (code, summary["law"]) == (0, "kept")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ask(table, "FROM current").to_pylist():
        place = next((end for end in RIGHT if str(row["uri"]).endswith(f"/{end}")), str(row["uri"]))
        found.setdefault(place, []).append(row)
    given = {place: sorted(row["status"] for row in rows) for place, rows in found.items()}
    spark = [given.pop(place) for place in list(given) if "/data/images/" in place]
    assert spark == [[OK], [OK]] and given == RIGHT
    rows = {place: found[place][0] for place in found}
    assert rows["images/huge.png"]["width"] is None and "2,147,483,653 x 64" in rows["images/huge.png"]["detail"]
    for name in ("c.webp", "c.jpg", "c.png"):
        assert rows[f"images/{name}"]["provenance"]["generator"] == "ComfyUI dream.safetensors"
        assert rows[f"images/{name}"]["provenance"]["camera"] is None
    for name in ("le_bom", "le_chinese", "unicode_but_utf8", "ascii_type"):
        assert "Model: dream" in rows[f"images/{name}.jpg"]["provenance"]["generator"]
    assert [rows[f"tsv/{number}.jpg"]["carried"]["caption"] for number in (1, 4)] == ['"Hello world', '"quoted" end']
    assert sorted(row["carried"]["caption"] for row in found["mac.tar"]) == ["c0", "c1", "c2"]
    assert {row["bytes"] for row in found["a.jpg"]} == {row["bytes"] for row in found["a.jpg"] if row["bytes"] > 9000}
