"""A facerig server as the maker of live frames, steered while it runs."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
from live_servers import OPTIONS, blocks, looped
from server_kit import RATE, noise, serving

from facerig.asking import Asked
from facerig.live import servers
from facerig.live.steer import Steering
from facerig.rig import rig


def test_a_facerig_server_is_told_of_controls_that_change_meanwhile() -> None:
    """The second half of the voice has no jaw, because a file said so while the stream ran."""
    half, told = threading.Event(), threading.Event()
    steering = Steering(Asked(("life:blink=0", "life:gaze=0", "life:head=0", "life:idle=0", "life:react=0")))
    voice = noise(2.0).astype(np.float32) / 32768

    def halting() -> Iterator[Any]:
        yield from blocks(voice)
        half.set()
        assert told.wait(60)
        yield from blocks(voice)

    def say() -> None:
        assert half.wait(60)
        steering.change({"gain:jaw": 0.0})
        told.set()

    async def serve() -> AsyncIterator[int]:
        async with serving(**{**OPTIONS, "a2f_port": -1, "port": 0}) as server:
            yield server.ports["facerig"]

    threading.Thread(target=say, daemon=True).start()
    with looped(serve) as place:
        server, _ = servers.parse(f"127.0.0.1:{place}")
        made = np.concatenate([curves.values for curves in server.maker(steering)(halting(), RATE)])
    jaw = made[:, rig("facerig-full").index("jawOpen")]
    assert jaw[:110].max() > 0.05
    assert jaw[150:].max() < 1e-6
