"""Chaos: plays seeds, prints each and their sums, and ends with exit code 1 where a promise was broken.

python -m tests.chaos --seeds 0-31
"""

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos import processes
from tests.chaos.play import Outcome, Player
from tests.chaos.report import Sums, as_json, line
from tests.chaos.scenario import DECK, Command, Scenario, Storage, draw
from tests.chaos.training import TrainingPlayer
from tests.chaos.workbench import Workbench, workbench
from tests.stores import S3Server


def seeds_of(words: str) -> list[int]:
    """Read seeds, such as `0-3,7`."""
    found: list[int] = []
    for part in words.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def play(scenario: Scenario, bench: Workbench) -> Outcome:
    """Play a scenario."""
    trains = scenario.command in {Command.FINETUNE, Command.PROMOTE}
    return (TrainingPlayer if trains else Player)(scenario, bench).play()


def main(arguments: list[str]) -> int:
    """Play seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=seeds_of, default=seeds_of(f"0-{len(DECK) - 1}"), metavar="A-B,C")
    parser.add_argument("--json", type=Path, help="a file that takes a line of JSON for each seed")
    chosen = parser.parse_args(arguments)
    scenarios = [draw(seed) for seed in chosen.seeds]
    # a short name: Ray's sockets below it have at most 107 characters
    folder = Path(tempfile.gettempdir()) / f"mole-chaos-{os.getpid()}"
    outcomes = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what follows is undone
    with ExitStack() as opened:
        opened.callback(processes.kill_all)
        if any(one.storage is Storage.S3 for one in scenarios):
            server = S3Server(Path(opened.enter_context(tempfile.TemporaryDirectory())) / "store")
            opened.callback(server.kill)
            bench = opened.enter_context(workbench(folder, server.port, server))
        else:
            bench = opened.enter_context(workbench(folder))
        for scenario in scenarios:
            outcomes.append(play(scenario, bench))
            sys.stdout.write(f"{line(outcomes[-1])}\n")
            sys.stdout.flush()
            if chosen.json:
                with chosen.json.open("a") as file:
                    file.write(f"{as_json(outcomes[-1])}\n")
    sums = Sums.of(outcomes)
    sys.stdout.write(f"{sums}\n")
    return 1 if sums.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
