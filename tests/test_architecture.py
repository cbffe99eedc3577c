"""Laws of the house: which file may import which, read from the syntax alone, deferred and type-only imports too."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("mole", "pipeline", "jobs")
"""From the ground up; an import never leads upwards."""

ROOMS = {
    "mole": ("measuring", "views", "tower", "model", "training", "inference"),
    "pipeline": ("runtime", "storage", "images", "telemetry", "command", "library", "scan", "tune", "review"),
    "pipeline.scan": ("reading", "table", "steps", "forecasting"),
    "pipeline.tune": ("data", "evaluation", "training"),
    "pipeline.review": ("analysis", "page", "browsing"),
}
"""Folders, in their order: an import leads to one that stands before. Files beside them stand wherever no circle runs."""
ROADS = ("pipeline.scan", "pipeline.tune", "pipeline.review")
READS = {("pipeline.review", "pipeline.scan")}
"""Which road may import another: who reviews reads the table that a scan writes."""

GROUND_FLOOR_NEVER_NAMES = {"ray", "pyarrow", "fsspec", "s3fs", "duckdb", "argparse", "rich"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "base", "core"}
LONGEST_FILE = 300

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in FILES.items()}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every module that a tree names in an import, wherever the import stands, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it leads"
            module = str(node.module)
            for alias in node.names:
                submodule = f"{module}.{alias.name}"
                yield (submodule if submodule in FILES else module), node.lineno


EDGES = [(name, target, line) for name, tree in TREES.items() for target, line in imported(tree)]
OURS = [(name, target, line) for name, target, line in EDGES if target in FILES]


def floor(module: str) -> int:
    return FLOORS.index(module.partition(".")[0])


def told(edges: list[tuple[str, str, int]]) -> list[str]:
    return [f"{FILES[name].relative_to(ROOT)}:{line} imports {target}" for name, target, line in edges]


def test_the_graph_is_not_empty() -> None:
    assert {name.partition(".")[0] for name in FILES} == set(FLOORS)
    assert len(OURS) > len(FLOORS)


def test_no_import_leads_upwards() -> None:
    assert told([edge for edge in OURS if floor(edge[1]) > floor(edge[0])]) == []


def test_doors_do_not_open_into_each_other() -> None:
    assert told([edge for edge in OURS if edge[0].startswith("jobs.") and edge[1].startswith("jobs.")]) == []


def test_the_roads_meet_where_one_reads_what_the_other_wrote_and_nowhere_else() -> None:
    def road(module: str) -> str | None:
        return next((road for road in ROADS if module == road or module.startswith(road + ".")), None)

    pairs = [(edge, (road(edge[0]), road(edge[1]))) for edge in OURS]
    met = [edge for edge, pair in pairs if all(pair) and pair[0] != pair[1] and pair not in READS]
    assert told(met) == []


@pytest.mark.parametrize("house", ROOMS)
def test_a_room_imports_only_the_ones_before_it(house: str) -> None:
    def room(module: str) -> int | None:
        name = module.removeprefix(f"{house}.").partition(".")[0]
        return ROOMS[house].index(name) if module.startswith(f"{house}.") and name in ROOMS[house] else None

    def backwards(edge: tuple[str, str, int]) -> bool:
        here, there = room(edge[0]), room(edge[1])
        return here is not None and there is not None and there > here

    assert {room(name) for name in FILES} == {None, *range(len(ROOMS[house]))}
    assert told([edge for edge in OURS if backwards(edge)]) == []


def test_what_the_roads_share_knows_neither() -> None:
    shared = [edge for edge in OURS if edge[0].startswith("pipeline.") and not edge[0].startswith(ROADS)]
    assert told([edge for edge in shared if edge[1].startswith(ROADS)]) == []


def test_no_imports_run_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in FILES}
    for name, target, _ in OURS:
        graph[name].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle of imports: {' -> '.join(circle.args[1])}")


def test_the_ground_floor_names_no_engine_no_table_and_no_command_line() -> None:
    named = [edge for edge in EDGES if floor(edge[0]) == 0 and edge[1].partition(".")[0] in GROUND_FLOOR_NEVER_NAMES]
    assert told(named) == []


LATE = (
    "mole.tower.hub",
    "mole.views.view",
    "pipeline.scan.wave",
    "pipeline.scan.table.sink",
    "pipeline.scan.workers",
    "pipeline.telemetry.metrics",
    "pipeline.telemetry.progress_client",
    "pipeline.tune.workers",
)
"""Import what is heavy only where it is wanted, so that others need not: the one exception, whose reason stands in each."""


WITHOUT_TORCH = """
import sys
import mole.config
from jobs import browse, compact, estimate, rescan, scan, tables
from mole.views.preprocess import Preprocess
from pipeline.scan.reading import fetch
from pipeline.scan.workers import prepare
from pipeline.records import FETCHED
assert len(prepare(FETCHED.empty_table(), Preprocess(), (1, 1, 1))) == 0
sys.exit(", ".join({"torch", "torchvision", "open_clip"} & set(sys.modules)) or 0)
"""


def test_neither_what_drives_a_scan_nor_what_prepares_crops_imports_torch() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_scan_and_a_rescan_begin_without_ray_and_scikit_learn() -> None:
    loaded = "import sys; from jobs import rescan, scan; sys.exit(', '.join({'ray', 'pandas', 'sklearn'} & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


WITHOUT_COMPILER = """
import sys
from pipeline.tune.data import pair_writer
from pipeline.tune.evaluation import perturbed_views
from pipeline.tune.training import view_requests
sys.exit(", ".join({"torchvision", "open_clip", "torch._dynamo"} & set(sys.modules)) or 0)
"""


def test_what_views_delivers_and_reconstructs_samples_imports_no_compiler() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_imports_stand_at_the_top_and_none_is_for_typing_alone() -> None:
    inside = [
        (name, target, line)
        for name in FILES.keys() - set(LATE)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for target, line in imported(node)
    ]
    assert told(inside) == []
    named = [
        name
        for name in FILES.keys() - set(LATE)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"
    ]
    assert named == []


def test_every_file_begins_with_its_caption() -> None:
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


FRONT = "mole"
"""The one package that users import names from: its `__init__.py` says where each lies and loads none of them, so that
`from mole import Detector` works and `import mole.config` imports no torch."""


def test_an_init_is_its_docstring() -> None:
    inits = [name for name, path in FILES.items() if path.name == "__init__.py" and name != FRONT]
    assert [name for name in inits if len(TREES[name].body) != 1] == []


def test_the_front_loads_what_it_names_only_when_asked_and_no_file_here_asks() -> None:
    assert [target for name, target, _ in EDGES if name == FRONT] == ["importlib"]
    asked = [
        (name, f"{FRONT}.{alias.name}", node.lineno)
        for name in FILES
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ImportFrom) and node.module == FRONT
        for alias in node.names
        if f"{FRONT}.{alias.name}" not in FILES
    ]
    assert told(asked) == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in FILES.values() if path.stem in VAGUE] == []


def test_a_file_stays_readable_in_one_sitting() -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}


def test_only_doors_print() -> None:
    printed = [
        (name, "print", node.lineno)
        for name in FILES
        if floor(name) < FLOORS.index("jobs")
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printed == []
