"""Guided fuzzing: changes inputs, and keeps those that reach new lines of a target.

Python targets run under atheris, the cropped decoder (`cropped_harness.c`) under libFuzzer, whose options atheris has too.
"""

import subprocess
import sys
from pathlib import Path

from tests.fuzzing import corpus
from tests.fuzzing.starts import starts

CROPPED = "cropped"
NAMES = ("archive", "container", "header", "listings", CROPPED)
FUZZER = Path("build/fuzzing/cropped-fuzzer")
"""Built by `make fuzz-cropped`."""
LONGEST = 1 << 15
SLOWEST = 60
"""Seconds of one input after which it counts as hanging; generous, since other processes may hold the cores."""

PROGRAM = """
import sys
import atheris
with atheris.instrument_imports(include=["pipeline.scan.reading", "pipeline.images", "tarfile"]):
    from tests.fuzzing import targets
atheris.Setup(sys.argv, targets.TARGETS[{name!r}])
atheris.Fuzz()
"""


def fuzz(name: str, folder: Path, seconds: int) -> int:
    """Run a fuzzer from the kept inputs on.

    Args:
        name: of a target.
        folder: where it keeps what it finds: the inputs that reach new lines in `all`; one that breaks a promise is
            `crash-…`, `timeout-…` or `oom-…` beside it, and ends the run.
        seconds: how long.

    Returns:
        Exit code: 0 where no promise was broken.
    """
    every = folder / "all"
    corpus.unpack(name, every)
    for number, data in enumerate(starts(name)):
        (every / f"{corpus.START}{number:03d}").write_bytes(data)
    program = [str(FUZZER)] if name == CROPPED else [sys.executable, "-c", PROGRAM.format(name=name)]
    limits = [f"-max_len={LONGEST}", f"-timeout={SLOWEST}", "-rss_limit_mb=2048", f"-artifact_prefix={folder}/"]
    command = [*program, f"-max_total_time={seconds}", "-print_final_stats=1", *limits, str(every)]
    return subprocess.run(command, check=False).returncode
