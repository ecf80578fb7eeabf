"""What ends a command that runs until somebody stops it, and has something to write then."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], None]]:
    """SIGTERM and SIGHUP (a terminal that is closed) are Ctrl-C inside; none that comes after the first disturbs the
    writing, not even an impatient second Ctrl-C. Gives what is to be called where the work has ended by itself and is
    being written: from then on a first one disturbs nothing either."""
    found = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()  # no other may choose what a signal does
    usual = (signal.SIG_DFL, signal.default_int_handler)  # nohup ignores
    ours = {number: way for number in found if main and (way := signal.getsignal(number)) in usual}

    def settled() -> None:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)

    def stop(number: int, frame: FrameType | None) -> None:
        settled()
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, stop)
    try:
        yield settled
    finally:
        for number, way in ours.items():
            signal.signal(number, way)
