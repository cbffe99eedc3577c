"""The law of the allocator: what a forward pass frees is used again, and the system need not clear it once more."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
import resource
import sys
from pipeline.runtime.allocator import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]


def layer():
    for size in (20 << 20, 39 << 20):
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        libc.free(block)


if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(77)
layer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    layer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Count page faults of a process that takes and frees blocks as large as those of a forward pass."""
    told = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    if told.returncode == 77:
        pytest.skip("the C library is not glibc")
    assert told.returncode == 0, told.stderr
    return int(told.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_what_is_freed_is_used_again_and_not_cleared_anew() -> None:
    assert 20 * page_faults("kept") < page_faults("by default")
