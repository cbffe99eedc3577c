"""Fuzzing by command: damaged images, archives, and coverage-guided fuzzers, for as long as is asked.

python -m tests.fuzzing damaged --count 100000
python -m tests.fuzzing archives --count 5000
python -m tests.fuzzing guided archive --seconds 3600
python -m tests.fuzzing keep archive build/fuzzing/archive/all
"""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzzing import corpus, damaged, differential, guided


def main() -> int:
    """Run one of the fuzzers, print what it found, and return 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    images = commands.add_parser("damaged", help="damaged images of every format")
    images.add_argument("--count", type=int, default=100_000)
    images.add_argument("--workers", type=int, default=2)
    archives = commands.add_parser("archives", help="archives, read by other readers too")
    archives.add_argument("--count", type=int, default=5_000)
    for command in (images, archives):
        command.add_argument("--seed", type=int, default=0)
    fuzzer = commands.add_parser("guided", help="a coverage-guided fuzzer (atheris)")
    fuzzer.add_argument("target", choices=guided.NAMES)
    fuzzer.add_argument("--seconds", type=int, default=3_600)
    fuzzer.add_argument("--found", type=Path, default=Path("build/fuzzing"))
    keep = commands.add_parser("keep", help="keep inputs that a fuzzer found, for the test that replays them")
    keep.add_argument("target")
    keep.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    start = time.monotonic()
    match arguments.command:
        case "damaged":
            broken = _damaged(arguments)
        case "archives":
            broken = _archives(arguments)
        case "keep":
            print(f"{corpus.keep(arguments.target, arguments.folder):,} bytes kept")
            return 0
        case _:
            return guided.fuzz(arguments.target, arguments.found / arguments.target, arguments.seconds)
    print(f"{time.monotonic() - start:,.0f} s")
    return int(broken > 0)


def _damaged(arguments: argparse.Namespace) -> int:
    tally = damaged.Tally()
    for shard in damaged.try_all(arguments.count, arguments.seed, workers=arguments.workers):
        tally.add(shard)
        for words in shard.broken:
            print(f"BROKEN: {words}", flush=True)
        print(f"\r{tally.images:,}", end="", file=sys.stderr, flush=True)
    print(tally)
    return len(tally.broken)


def _archives(arguments: argparse.Namespace) -> int:
    found = differential.compare_all(arguments.count, arguments.seed)
    print(found)
    return len(found.broken)


if __name__ == "__main__":
    sys.exit(main())
