"""Allocator: lets the C library keep the memory that a forward pass frees."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, from `malloc.h`."""
KEPT_BYTES, MAX_BLOCK_BYTES = 1 << 29, 1 << 30


def keep_freed_memory() -> bool:
    """Let this process keep up to half a gigabyte that it has freed, in place of giving it back to the system at once.

    Each layer of a forward pass takes and frees some 20 MB. By default glibc gives blocks of that size back, so that
    the system must clear a thousand pages an image (docs/performance.md).

    Returns:
        Whether the C library has such settings; others than glibc are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    trims_later, maps_less = mallopt(M_TRIM_THRESHOLD, KEPT_BYTES), mallopt(M_MMAP_THRESHOLD, MAX_BLOCK_BYTES)
    return bool(trims_later and maps_less)
