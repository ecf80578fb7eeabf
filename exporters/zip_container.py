"""A zip archive as USD packages want it: nothing compressed, every file's data on a 64-byte boundary, no wall clock.

Knows no USD.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

BOUNDARY = 64
DATE = 0x0021  # 1980-01-01, the first day that the format can name
PADDING = 0x1986  # id of the extra field that only fills


def stored(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files, in their order."""
    out, central = bytearray(), bytearray()
    for name, data in files.items():
        label, at = name.encode(), len(out)
        extra = _padding(at + 30 + len(label))
        shared = struct.pack("<HHHHHIIIHH", 20, 0x0800, 0, 0, DATE, zlib.crc32(data), len(data), len(data), len(label),
                             len(extra))
        out += b"PK\x03\x04" + shared + label + extra + data
        central += b"PK\x01\x02" + struct.pack("<H", 20) + shared + struct.pack("<HHHII", 0, 0, 0, 0, at)
        central += label + extra
    tail = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(central), len(out), 0)
    return bytes(out + central + b"PK\x05\x06" + tail)


def _padding(before: int) -> bytes:
    """An extra field that moves what follows `before` bytes to the next boundary."""
    fill = -before % BOUNDARY
    fill += BOUNDARY if 0 < fill < 4 else 0
    return struct.pack("<HH", PADDING, fill - 4) + bytes(fill - 4) if fill else b""
