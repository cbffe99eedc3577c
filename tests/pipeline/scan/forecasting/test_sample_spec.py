"""Sample spec: another process receives it as it was made, and neither side loads torch for it."""

import pickle
import subprocess
import sys
from pathlib import Path

from pipeline.scan.forecasting.sample_spec import SampleSpec
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.unit import Kind, Unit

SPEC = SampleSpec(
    units=(Unit("a.tar#1", "a.tar", Kind.SHARD, size=1 << 20), Unit("b.jpg#1", "b.jpg", Kind.FILE, images=1)),
    images=40,
    options=ReadOptions(1 << 20, "jpg", ("url",)),
    bounds=(1 << 20, 10_000, 2),
    model=("/models/one", "cafe"),
    device="cpu",
    threads=2,
    batch_size=16,
    memory={"/a.jpg": b"\xff\xd8"},
)
SENT_ON = """
import pickle, sys
spec = pickle.load(sys.stdin.buffer)
assert not {"ray", "torch"} & set(sys.modules)
sys.stdout.buffer.write(pickle.dumps(spec))
"""


def test_a_sample_goes_to_another_process_and_back_whole_and_without_torch(root: Path) -> None:
    there = subprocess.run(
        [sys.executable, "-c", SENT_ON], cwd=root, input=pickle.dumps(SPEC), capture_output=True, check=True
    )
    assert pickle.loads(there.stdout) == SPEC
