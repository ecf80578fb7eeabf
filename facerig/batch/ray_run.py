"""The same work over a Ray cluster that runs already (extra `ray`). Audio goes out and files come back through Ray,
so the machines need no shared disk; they need facerig installed.

A cluster without authentication is refused: whoever reaches it can run anything on it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from facerig.batch.run import Made, Spread, Todo
from facerig.batch.table import Line
from facerig.batch.work import Result, Settings, make
from facerig.errors import MissingExtra, OptionError, ServiceError
from facerig.mesh import Head

IN_FLIGHT = 64  # lines handed out and not yet back, over the whole cluster
AUTHENTICATION = "RAY_AUTH_MODE"


@contextmanager
def spread_over(address: str) -> Iterator[Spread]:
    """A way to spread lines over the cluster at `address`; the connection is closed afterwards."""
    ray = _ray()
    if os.environ.get(AUTHENTICATION) != "token":
        raise OptionError(f"--ray: the cluster must ask for a token: start it and run facerig with "
                          f"{AUTHENTICATION}=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) set: docs/FORMATS.md")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except Exception as error:  # Ray's own errors share no base class
        raise ServiceError(f"--ray: no cluster at {address}: {type(error).__name__}: {error}") from None
    try:
        yield lambda todo, settings, head: _spread(ray, todo, settings, head)
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtra("--ray", "ray") from None
    return ray


def make_there(line: Line, audio: bytes, settings: Settings, head: Head | None) -> Result:
    """On the cluster: the audio in a file of the machine's own, then the line as anywhere."""
    with tempfile.TemporaryDirectory(prefix="facerig-ray-") as folder:
        copy = Path(folder) / line.audio.name
        copy.write_bytes(audio)
        return make(replace(line, audio=copy), settings, head)


def _spread(ray: Any, todo: Sequence[Todo], settings: Settings, head: Head | None) -> Made:
    remote = ray.remote(num_cpus=1, max_retries=1)(make_there)
    shared = ray.put(head)  # sent once, not once a line
    waiting = list(reversed(todo))
    air: dict[Any, Todo] = {}
    while waiting or air:
        while waiting and len(air) < IN_FLIGHT:
            entry = waiting.pop()
            try:
                air[remote.remote(entry[0], entry[0].audio.read_bytes(), settings, shared)] = entry
            except OSError as error:
                problem = f"{entry[0].audio}: cannot be read: {error.strerror}"
                yield entry, Result(entry[0].number, "failed", error=problem)
        if not air:
            continue
        ready, _ = ray.wait(list(air), num_returns=1)
        entry = air.pop(ready[0])
        yield entry, _fetched(ray, ready[0], entry[0])


def _fetched(ray: Any, reference: Any, line: Line) -> Result:
    try:
        result: Result = ray.get(reference)
        return result
    except Exception as error:
        return Result(line.number, "failed", error=f"the cluster could not make it: {type(error).__name__}: {error}")
