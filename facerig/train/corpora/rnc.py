"""Rob Northen's packing, method 1: how games of the nineties kept their files.

"RNC" 1, u32 size unpacked, u32 packed, two u16 checksums, two bytes; then blocks: three tables of code lengths (of
literals, distances, lengths), u16 pairs of (literals, copy), the last pair without its copy. Bits come from
little-endian words, lowest first; a run of literals lies between the words as bytes.
"""

from __future__ import annotations

import struct

from facerig.errors import InputError

HEAD = struct.Struct(">4sIIHHBB")
MAGIC = b"RNC\x01"
LARGEST = 1 << 20  # bytes unpacked: a minute and a half of such a sound; a damaged size must not fill the memory
Codes = dict[tuple[int, int], int]  # (bits, code): value


class _Bits:
    """Bits of words; bytes between them."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at, self.held, self.count = data, at, 0, 0

    def take(self, count: int) -> int:
        while self.count < count:
            self.held |= int.from_bytes(self.data[self.at : self.at + 2], "little") << self.count
            self.at, self.count = self.at + 2, self.count + 16
        value = self.held & ((1 << count) - 1)
        self.held >>= count
        self.count -= count
        return value

    def coded(self, codes: Codes) -> int:
        """A value: codes 0 and 1 are themselves, code n is 1 and n - 1 more bits."""
        code = bits = 0
        while (bits, code) not in codes:
            if bits > 16:
                raise InputError("RNC: a code that no table has; the file is damaged")
            code, bits = code << 1 | self.take(1), bits + 1
        value = codes[bits, code]
        return value if value < 2 else self.take(value - 1) | 1 << (value - 1)

    def literals(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def codes(self) -> Codes:
        """Lengths of up to 16 codes; codes of a length follow one another."""
        lengths = [self.take(4) for _ in range(min(self.take(5), 16))]
        out, code = {}, 0
        for bits in range(1, 17):
            code <<= 1
            for value in (k for k, length in enumerate(lengths) if length == bits):
                out[bits, code] = value
                code += 1
        return out


def unpacked(data: bytes) -> bytes:
    """The file; what is not packed comes back as it is."""
    if data[:4] != MAGIC:
        return data
    if len(data) < HEAD.size:
        raise InputError("RNC: the file ends in its header")
    _, size, _, _, _, _, blocks = HEAD.unpack_from(data)
    if size > LARGEST:
        raise InputError(f"RNC: {size} bytes are told, {LARGEST} accepted; the file is damaged")
    bits, out = _Bits(data, HEAD.size), bytearray()
    bits.take(2)
    for _ in range(blocks):
        literals, distances, lengths = bits.codes(), bits.codes(), bits.codes()
        pairs = bits.take(16)
        for left in range(pairs - 1, -1, -1):
            if count := bits.coded(literals):
                out += bits.literals(count)
            if left:
                _copied(out, bits.coded(distances) + 1, bits.coded(lengths) + 2)
            if len(out) > size:
                raise InputError(f"RNC: more bytes than the {size} that are told; the file is damaged")
    if len(out) != size:
        raise InputError(f"RNC: {len(out)} bytes where {size} are told; the file is damaged")
    return bytes(out)


def _copied(out: bytearray, distance: int, count: int) -> None:
    """The last bytes again, those that are being written too."""
    if distance > len(out):
        raise InputError("RNC: a copy of what was not there; the file is damaged")
    while count:
        piece = out[len(out) - distance :][: min(count, distance)]
        out += piece
        count -= len(piece)
