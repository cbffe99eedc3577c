"""Scenario: what a seed stands for: a command, a storage, a fault, and when and how often it strikes."""

import random
from dataclasses import dataclass, replace
from enum import StrEnum


class Command(StrEnum):
    """What is run and disturbed."""

    SCAN = "scan"
    DEDUPE = "scan --dedupe"
    SHADOW = "scan --shadow"
    RESCAN = "rescan"
    COMPACT = "compact"
    ICEBERG = "scan --sink iceberg"
    FINETUNE = "finetune"
    PROMOTE = "promote"


class Storage(StrEnum):
    """Where sources and output lie; on `CLUSTER` locally, with a Ray of several nodes."""

    LOCAL = "local"
    S3 = "s3"
    CLUSTER = "cluster"


class Fault(StrEnum):
    """What goes wrong."""

    KILL_DRIVER = "kill -9 of the driver"
    TERMINATE = "SIGTERM to the driver"
    KILL_SCORER = "kill -9 of the scorer"
    KILL_READER = "kill -9 of a read worker"
    KILL_RAYLET = "kill -9 of the raylet"
    KILL_NODE = "kill -9 of a whole node"
    PAUSE_HOLDER = "SIGSTOP of the lease holder past its time"
    CLOCK_STEPS = "clock steps of an hour"
    FULL_DISK = "full disk"
    READ_ONLY = "read-only output"
    SMALL_STORE = "object store of 80 MB"
    KILL_SERVER = "kill -9 of the S3 server, and its return"
    THROTTLED = "503 storm"
    FLAPPING = "connections reset"
    LATE = "slow answers"
    SHORT = "short reads"
    RESET = "resets in mid-body"
    PAGE = "200 with an HTML error page"
    WRONG_TAG = "wrong ETags"
    STALE = "stale listings"


SCANS = {Command.SCAN, Command.DEDUPE, Command.SHADOW}
"""Commands that may run without Ray."""
ENDS_RUN = {Fault.KILL_DRIVER, Fault.TERMINATE, Fault.FULL_DISK, Fault.READ_ONLY}
"""Faults after which a run cannot end with exit code 0."""
BEGINS = {Fault.KILL_SCORER, Fault.KILL_READER}
"""Faults that strike a process where it begins: it may have ended once there is a file."""
OF_RAY = {Fault.KILL_SCORER, Fault.KILL_READER, Fault.KILL_RAYLET, Fault.KILL_NODE, Fault.SMALL_STORE}
"""Faults of Ray's processes."""
OF_STORE = {
    *(Fault.THROTTLED, Fault.FLAPPING, Fault.LATE, Fault.SHORT, Fault.RESET, Fault.PAGE, Fault.WRONG_TAG, Fault.STALE),
}
"""Faults of single answers of the S3 server, given by the proxy before it."""
FILES, FILES_OF_WAVE = 6, 4
"""A fault strikes after fewer files than this, of an Iceberg table, which has a few at the end of a wave, than the second."""
DECK: tuple[tuple[Command, Storage, Fault], ...] = (
    (Command.SCAN, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.SCAN, Storage.S3, Fault.SHORT),
    (Command.SCAN, Storage.LOCAL, Fault.KILL_SCORER),
    (Command.SCAN, Storage.S3, Fault.PAGE),
    (Command.SCAN, Storage.LOCAL, Fault.KILL_READER),
    (Command.SCAN, Storage.LOCAL, Fault.KILL_RAYLET),
    (Command.SCAN, Storage.S3, Fault.KILL_SERVER),
    (Command.SCAN, Storage.LOCAL, Fault.TERMINATE),
    (Command.SCAN, Storage.S3, Fault.PAUSE_HOLDER),
    (Command.SCAN, Storage.LOCAL, Fault.FULL_DISK),
    (Command.SCAN, Storage.LOCAL, Fault.READ_ONLY),
    (Command.SCAN, Storage.LOCAL, Fault.CLOCK_STEPS),
    (Command.SCAN, Storage.CLUSTER, Fault.KILL_NODE),
    (Command.SCAN, Storage.CLUSTER, Fault.SMALL_STORE),
    (Command.SCAN, Storage.S3, Fault.THROTTLED),
    (Command.SCAN, Storage.S3, Fault.FLAPPING),
    (Command.SCAN, Storage.S3, Fault.RESET),
    (Command.SCAN, Storage.S3, Fault.WRONG_TAG),
    (Command.SCAN, Storage.S3, Fault.STALE),
    (Command.SCAN, Storage.S3, Fault.LATE),
    (Command.DEDUPE, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.SHADOW, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.RESCAN, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.COMPACT, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.ICEBERG, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.FINETUNE, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.PROMOTE, Storage.LOCAL, Fault.KILL_DRIVER),
    (Command.DEDUPE, Storage.S3, Fault.FLAPPING),
    (Command.RESCAN, Storage.S3, Fault.PAGE),
    (Command.SCAN, Storage.S3, Fault.KILL_DRIVER),
    (Command.ICEBERG, Storage.LOCAL, Fault.PAUSE_HOLDER),
    (Command.COMPACT, Storage.S3, Fault.PAUSE_HOLDER),
)
"""Every command and every fault; further seeds begin again here, with other times."""


@dataclass(frozen=True)
class Scenario:
    """What a seed stands for.

    Attributes:
        seed: it.
        command: what runs.
        storage: where.
        fault: what goes wrong.
        parts: for each disturbed run, how many files it has written when the fault strikes.
        delay: seconds between that and the fault.
        share: of the store's answers that are spoilt.
    """

    seed: int
    command: Command
    storage: Storage
    fault: Fault
    parts: tuple[int, ...]
    delay: float
    share: float

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.command}, {self.storage}, {self.fault}"

    @property
    def is_on_ray(self) -> bool:
        """Whether a scan uses Ray, as every other seed and every fault of its processes wants; else it does without."""
        return self.fault in OF_RAY or self.seed % 2 == 0

    @property
    def chance(self) -> random.Random:
        """Draw what else the scenario leaves to chance."""
        return random.Random(f"chaos {self.seed}")


def draw(seed: int) -> Scenario:
    """Draw a seed's scenario; the same one each time."""
    command, storage, fault = DECK[seed % len(DECK)]
    chance = random.Random(seed)
    times = chance.choice((1, 2)) if fault in {Fault.KILL_DRIVER, Fault.TERMINATE} else 1
    files = 1 if fault in BEGINS else FILES_OF_WAVE if command is Command.ICEBERG else FILES
    return Scenario(
        seed=seed,
        command=command,
        storage=storage,
        fault=fault,
        parts=tuple(chance.randrange(files) for _ in range(times)),
        delay=round(chance.uniform(0, 0.5), 3),
        share=round(chance.uniform(0.1, 0.4), 3),
    )


def short(scenario: Scenario) -> Scenario:
    """Let a scenario's fault strike once and at once, where a run has little to scan."""
    return replace(scenario, parts=(min(1, scenario.parts[0]),), delay=0.0)
