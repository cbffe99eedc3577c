"""Ray state: a process without Ray is told so without importing it, and one that is connected is told so too."""

import subprocess
import sys
from pathlib import Path

from pipeline.runtime.ray_state import is_connected

TOLD = """
import sys
from pipeline.runtime.ray_state import is_connected
print(is_connected(), "ray" in sys.modules)
import ray
print(is_connected())
"""


def test_a_process_that_has_not_connected_is_told_so_and_asking_imports_nothing(root: Path) -> None:
    told = subprocess.run([sys.executable, "-c", TOLD], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["False False", "False"]


def test_a_process_that_is_connected_is_told_so(local_ray: None) -> None:
    assert is_connected()
