"""Shell blocks of the documents: which pages there are, the commands of their blocks, and a shell that runs them."""

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from textwrap import dedent
from urllib.request import HTTPCookieProcessor, build_opener

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("deploy/README.md", "examples/README.md", "benchmarks/results/README.md")),
]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^|\n\n)((?:    .*\n|\n(?=    ))+)")
SHELL = ("bash", "sh", "console")
PROMPT = "$ "
PROGRAMS = re.compile(
    r"\(?(?:[A-Z_]+=\S+ )*(?:\S*/)?(?:mole-scan|python3?|ray|make|export|mkdir|tar|ls|echo|\.|pip|docker|kubectl|promtool"
    r"|prometheus|install|cp|pre-commit)(?= )|[\d*/]+ [\d*/]+ \* \* \S+ "
)
"""The beginning of a command line, or of a line of cron."""
ELIDED = "…"
TIMEOUT = 900.0
"""Seconds that a command may take on a busy machine."""
CODE = re.compile(r"#.*\bexit code (\d+)")
"""A comment behind a command that says how it ends."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        line: as it is written, its continued lines joined.
        output: the lines that the page quotes of what it prints; none where it quotes nothing.
    """

    line: str
    output: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code that the page gives it."""
        said = CODE.search(self.line)
        return int(said[1]) if said else 0


def blocks(page: Path) -> Iterator[str]:
    """Yield blocks of code that may be a shell's."""
    text = text_of(page)
    yield from (body for _, kind, body in FENCED.findall(text) if kind in SHELL)
    yield from INDENTED.findall(FENCED.sub("", text))


def commands(block: str) -> list[Command]:
    """Read the commands of a block: each line, or, where lines begin with a prompt, those; none if it is no shell's."""
    lines = re.sub(r"\\\n\s*", "", dedent(block)).splitlines()
    written = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not written or not PROGRAMS.match(written[0].removeprefix(PROMPT)):
        return []
    if not written[0].startswith(PROMPT):
        return [Command(line) for line in written]
    found: list[Command] = []
    for line in written:
        if line.startswith(PROMPT):
            found.append(Command(line.removeprefix(PROMPT)))
        else:
            found[-1] = Command(found[-1].line, (*found[-1].output, line))
    return found


def commands_of(page: Path) -> list[Command]:
    """Read the commands of a page, in their order."""
    text = text_of(page)
    places = sorted((text.index(block), block) for block in blocks(page))
    return [command for _, block in places for command in commands(block)]


@dataclass
class Shell:
    """Where the commands of a page run.

    Attributes:
        folder: the working folder.
        environment: of its commands.
        stands: what takes the place of a word of the page.
        exported: the lines of the page that set variables.
    """

    folder: Path
    environment: dict[str, str]
    stands: dict[str, str]
    exported: list[str] = field(default_factory=list)

    def walk(self, page: Path, spared: Callable[[str], str], *, compared: bool = False) -> dict[str, str]:
        """Run the commands of a page in their order; give what each printed.

        Args:
            page: whose commands they are.
            spared: given a command line, why it is not run; an empty text where it is.
            compared: whether a command must print what the page quotes; not where it quotes a reader's own data.

        Raises:
            AssertionError: one ended otherwise than the page says, or did not print what the page quotes.
        """
        printed = {}
        for command in commands_of(page):
            if not spared(command.line):
                printed[command.line] = self.run(command)
                if compared and command.output:
                    assert quoted(command.output, printed[command.line], self.folder) == "", printed[command.line]
        return printed

    def run(self, command: Command) -> str:
        """Run a command; give what it printed."""
        line = self.filled(command.line)
        if line.startswith("export "):
            self.exported.append(line)
        if line.startswith("mole-scan browse "):
            return self.serve(line)
        where = ROOT if "ray job submit" in line or "pytest" in line else self.folder
        script = "\n".join(["set -euo pipefail", *self.exported, line])
        ended = subprocess.run(
            ["bash", "-c", script],
            cwd=where,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == command.code, f"{line}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        return ended.stdout

    def serve(self, line: str) -> str:
        """Start a server, look at the page whose address it prints, and end it by Ctrl-C."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            try:
                address = server.stdout.readline().strip()
                assert b"MoLE Scan" in build_opener(HTTPCookieProcessor()).open(address, timeout=60).read()
                server.send_signal(signal.SIGINT)
                assert server.wait(60) == 0
            finally:
                server.kill()
        return address

    def filled(self, line: str) -> str:
        """Replace what stands for something of the reader's."""
        versions = sorted(self.folder.glob("models/versions/*"), key=lambda version: version.stat().st_mtime)
        newest = {r"\bDIGEST\b|\b[0-9a-f]{32}\b": versions[-1].name} if versions else {}
        for word, value in (self.stands | newest).items():
            line = re.sub(word, value, line)
        return line


def quoted(lines: tuple[str, ...], printed: str, folder: Path) -> str:
    """Look for quoted lines in what was printed: times, rates and probabilities may differ, and `…` leaves out.

    Returns:
        The first line that was not printed in its place; nothing where all were.
    """
    told = [plain(line) for line in printed.replace(str(folder), "/home/you/mole-scan").splitlines() if line.strip()]
    at, free = 0, not lines or lines[0] == ELIDED
    for line in lines:
        wanted = plain(line.removesuffix(ELIDED))
        if not wanted:
            free = True
            continue
        matches = [one.startswith(wanted) if line.endswith(ELIDED) else one == wanted for one in told[at:]]
        if True not in (matches if free else matches[:1]):
            return line
        at, free = at + matches.index(True) + 1, False
    return "" if free or at == len(told) else f"quoted too little: {told[at]}"


def plain(line: str) -> str:
    """Leave out of a line what differs from run to run, and how far its columns are apart."""
    return " ".join(re.sub(r"\d+\.\d+", "N", re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{8}", "RUN", line)).split())
