"""Cropped decoder under sanitizers: what the fuzzer found touches no byte that it must not, and gives the whole's pixels."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.images import cropped
from tests.fuzzing import corpus
from tests.fuzzing.starts import starts

SOURCES = [
    Path(__file__).with_name("cropped_harness.c"),
    *(Path(cropped.__file__).with_name(name) for name in ("cropped.c", "resized.c", "weights.c", "weights.h")),
]
SANITIZED = ["-g", "-O1", "-DREPLAY", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def built(folder: Path, *sources: Path) -> Path:
    """Compile the harness with both sanitizers."""
    compiler = shutil.which("cc")
    if compiler is None or not cropped.IS_BUILT:
        pytest.skip("no C compiler or no headers of libjpeg-turbo")
    program = folder / "replay"
    subprocess.run(
        [
            compiler,
            *SANITIZED,
            *(str(one) for one in sources if one.suffix == ".c"),
            "-o",
            str(program),
            "-ljpeg",
            "-lm",
        ],
        check=True,
    )
    return program


def replayed(program: Path, folder: Path, inputs: list[bytes]) -> subprocess.CompletedProcess[str]:
    """Run the program over inputs."""
    paths = [folder / f"{number:04d}" for number in range(len(inputs))]
    for path, data in zip(paths, inputs, strict=True):
        path.write_bytes(data)
    return subprocess.run([str(program), *map(str, paths)], capture_output=True, text=True, check=False)


def test_no_input_of_the_cropped_decoder_touches_other_memory_or_gives_other_pixels(tmp_path: Path) -> None:
    kept = [data for _, data in corpus.kept("cropped")]
    assert kept, "no input is kept"
    ran = replayed(built(tmp_path, *SOURCES), tmp_path, [*starts("cropped"), *kept])
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.mark.parametrize(
    ("name", "right", "wrong", "found"),
    [
        ("cropped.c", "malloc((size_t)codec.output_width * 3 + 1)", "malloc(codec.output_width)", "buffer-overflow"),
        ("cropped.c", "(size_t)(left - from) * 3", "(size_t)(left - from) * 2", "and not"),
        ("resized.c", "resize->columns : resize->across.count) + ROOM;", "1 : 1);", "buffer-overflow"),
        (
            "resized.c",
            "data, size, axes[0].full, axes[1].full, left,",
            "data, size, axes[0].full, axes[1].full, 0,",
            "not that",
        ),
    ],
)
def test_the_harness_finds_a_decoder_that_is_wrong(
    tmp_path: Path, name: str, right: str, wrong: str, found: str
) -> None:
    texts = {source.name: source.read_text() for source in SOURCES}
    assert texts[name].count(right) == 1
    texts[name] = texts[name].replace(right, wrong)
    for each, text in texts.items():
        (tmp_path / each).write_text(text)
    ran = replayed(built(tmp_path, *(tmp_path / each for each in texts)), tmp_path, starts("cropped"))
    assert ran.returncode != 0 and found in ran.stderr
