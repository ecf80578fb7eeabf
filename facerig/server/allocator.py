"""The C library's allocator, told once per process to keep what is freed. glibc's own; elsewhere nothing happens.

A step of many streams makes and drops arrays of megabytes. By default glibc gives those back to the system at every
drop and has them zeroed anew, page by page, at the next step: up to 40 % of a step's time went there.
"""

from __future__ import annotations

import ctypes

# mallopt's parameters (malloc.h); the greatest value that the first may have, and what several steps drop.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGEST = 32 * 2**20  # bytes of an array that is not mapped on its own
KEPT = 256 * 2**20  # free bytes at the heap's end that stay with the process


def keep_freed() -> bool:
    """Whether the allocator was told so."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows has no such library, macOS and musl no such function
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, KEPT))
