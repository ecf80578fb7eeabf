"""Every decoder against mutated packets: our errors alone, and no memory beyond what arrived."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest
from bridge_samples import decoders

from facerig.errors import ProtocolError

NASTY = [struct.pack(form, value) for form in (">i", "<i", ">H", "<H") for value in
         (0, 1, 0x7FFF) + ((-1, 0x7FFFFFFF, 1 << 24) if form[1] == "i" else (0xFFFF,))]


def mutated(packet: bytes, rng: random.Random) -> bytes:
    data = bytearray(packet)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randint(1, 9))
        elif kind == 2:
            del data[at : at + rng.randint(1, 40)]
        elif kind == 3:
            piece = rng.choice(NASTY)
            data[at : at + len(piece)] = piece
        elif kind == 4 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        else:
            data[at:at] = data[: rng.randint(0, 60)]
    return bytes(data)


def fuzz(name: str, count: int) -> int:
    decode, packets = decoders()[name]
    rng, refused = random.Random(name), 0
    for packet in packets:
        decode(packet)
    for number in range(count):
        try:
            decode(mutated(packets[number % len(packets)], rng))
        except ProtocolError:
            refused += 1
    return refused


@pytest.mark.parametrize("name", sorted(decoders()))
def test_mutations_raise_our_error_or_none(name: str) -> None:
    tracemalloc.start()
    try:
        refused = fuzz(name, 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000, f"{peak} bytes at the peak"
    assert refused > 50 or name == "ifacialmocap request"


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(decoders()))
def test_a_hundred_thousand_mutations(name: str) -> None:
    print(f"{name}: {fuzz(name, 100_000)} of 100000 refused")


@pytest.mark.parametrize("name", sorted(decoders()))
def test_every_beginning_of_a_packet_is_read_or_refused(name: str) -> None:
    decode, packets = decoders()[name]
    for packet in packets[:3]:
        for stop in range(0, len(packet), 1 + len(packet) // 200):
            try:
                decode(packet[:stop])
            except ProtocolError:
                continue
