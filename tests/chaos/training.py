"""Training: a finetune and a promotion that are killed at a drawn moment, and end as the undisturbed ones."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.registry import Registry
from pipeline.tune.training.version import HISTORY
from tests.chaos.attempt import Attempt, Ended
from tests.chaos.play import AGAIN, Outcome
from tests.chaos.scenario import Command, Scenario
from tests.chaos.workbench import Workbench

TINTS = {"photos/0_real": (0, 0, 0), "red/1_fake": (90, -60, -60), "blue/1_fake": (-60, -60, 90)}
EACH = 24
SHORT = [
    *("--epochs", "4", "--epoch-images", "32", "--head-images", "24", "--penalty", "1e-4", "--batch-size", "8"),
    *("--precision", "float32", "--false-positive-rate", "0.3", "--validation-share", "0.2"),
    *("--calibration-share", "0.2", "--test-share", "0.25", "--accept-leak", "--view", "resize"),
]
TIMES = ("seconds", "images_per_second")
"""Parts of the names of metrics that measure time."""


class TrainingPlayer:
    """Plays a scenario of finetune or promote.

    Args:
        scenario: it.
        bench: what scenarios share.
    """

    def __init__(self, scenario: Scenario, bench: Workbench) -> None:
        self.scenario = scenario
        self.bench = bench
        self.folder: Path = bench.folder / f"{scenario.seed}"
        self.folder.mkdir()
        self.samples = collect(self.folder / "samples")
        self.ends: list[Ended] = []
        self.broken: list[str] = []

    def play(self) -> Outcome:
        """Kill, run again, compare."""
        begun = time.monotonic()
        struck = self._finetune() if self.scenario.command is Command.FINETUNE else self._promote()
        return Outcome(
            scenario=self.scenario,
            struck=struck,
            kills=struck,
            resumes=len(self.ends) - 1,
            difference=None,
            read_again=0,
            in_flight=0,
            codes=tuple(ended.code for ended in self.ends),
            seconds=round(time.monotonic() - begun, 1),
            errors=tuple(ended.error for ended in self.ends if ended.error),
            broken=tuple(self.broken),
        )

    def _finetune(self) -> int:
        """Kill a training at drawn moments; its version and its loss curve are those of an undisturbed one."""
        plain, killed = (Registry(str(self.folder / name)) for name in ("plain", "killed"))
        first = self._run(self._training(plain))
        assert first.code == 0, f"the undisturbed training ended with {first.code}: {first.told}"
        wanted = self._made(plain)
        self.ends.clear()
        struck = sum(self._killed(self._training(killed), first.seconds) for _ in self.scenario.parts)
        self._run_until_done(self._training(killed))
        found = self._made(killed)
        if found != wanted:
            self.broken.append(f"the version and its curve differ: {found}, not {wanted}"[:1000])
        return struck

    def _promote(self) -> int:
        """Kill a promotion at drawn moments: what is promoted is the old version or the new one, then the new one."""
        place = Registry(str(self.folder / "models"))
        self._run(self._training(place))
        [new] = place.digests()
        copy = Registry(str(shutil.copytree(place.url, self.folder / "other")))  # how long it takes, undisturbed
        old = place.add(self.bench.model, {})
        place.promote(old, "before", replacing=None)
        arguments = ["train", "promote", "--registry", place.url, "--candidate", new, "--false-positives", "0.6"]
        first = self._run([*arguments[:3], copy.url, *arguments[4:]])
        assert first.code == 0, f"the undisturbed promotion ended with {first.code}: {first.told}"
        self.ends.clear()
        struck = 0
        for _ in self.scenario.parts:
            struck += self._killed(arguments, first.seconds)
            if place.promoted() not in {old, new}:
                self.broken.append(f"promoted is {place.promoted()}")
        if place.promoted() == old:
            self._run_until_done(arguments)
        if place.promoted() != new or [entry.digest for entry in place.log()] != [old, new]:
            self.broken.append(f"the log of promotions is {place.log()}")
        return struck

    def _training(self, place: Registry) -> list[str]:
        base = ["--base", str(self.bench.model)]
        return ["train", "finetune", "--samples", str(self.samples), "--registry", place.url, *base, *SHORT]

    def _run(self, arguments: Sequence[str]) -> Ended:
        ended = Attempt(arguments, self.folder, {}).ended(struck=False)
        return self._note(ended)

    def _note(self, ended: Ended) -> Ended:
        self.ends.append(ended)
        if words := ended.irregular:
            self.broken.append(words)
        return ended

    def _killed(self, arguments: Sequence[str], seconds: float) -> bool:
        """Run a command, and kill it within the time that it takes; tell whether it was on still."""
        chance = self.scenario.chance
        attempt = Attempt(arguments, self.folder, {})
        moment = time.monotonic() + chance.uniform(0.3, 0.95) * seconds
        reached = attempt.wait_until(lambda: time.monotonic() >= moment)
        if reached:
            attempt.driver.kill()
        self._note(attempt.ended(struck=reached))
        return reached

    def _run_until_done(self, arguments: Sequence[str]) -> None:
        for _ in range(AGAIN):
            if self._run(arguments).code == 0:
                return
        self.broken.append(f"{AGAIN} runs without a fault did not end with exit code 0: {self.ends[-1].told[-400:]}")

    def _made(self, place: Registry) -> list[Any]:
        """Return the digest of the only version, and its curve without times."""
        digests = place.digests()
        curves = [[json.loads(line) for line in place.read(digest, HISTORY).splitlines()] for digest in digests]
        return [digests, [[untimed(entry) for entry in curve] for curve in curves]]


def untimed(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out of an epoch's metrics what measures time."""
    return {name: value for name, value in entry.items() if not any(word in name for word in TIMES)}


def collect(folder: Path) -> Path:
    """Write noisy labelled pictures of one size and quality, whose tint is their source's."""
    chance = np.random.default_rng(7)
    for place, tint in TINTS.items():
        (folder / place).mkdir(parents=True)
        for image in range(EACH):
            grey = chance.integers(70, 160, (12, 12, 1)).repeat(3, axis=2) + chance.normal(0, 8, (12, 12, 3))
            pixels = (grey + np.array(tint)).clip(0, 255).astype(np.uint8)
            large = Image.fromarray(pixels).resize((160, 160), Image.Resampling.BICUBIC)
            large.save(folder / place / f"{image}.jpg", quality=90)
    return folder
