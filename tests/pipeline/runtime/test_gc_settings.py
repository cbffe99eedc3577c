"""GC settings: a worker that imports them collects garbage seldom, and never again what exists already."""

import subprocess
import sys

PROBE = "import gc, pipeline.runtime.gc_settings; print(gc.get_freeze_count() > 0, gc.get_threshold())"


def test_a_worker_collects_seldom_and_leaves_out_what_exists() -> None:
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True (50000, 20, 10)"
