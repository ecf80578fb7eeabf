"""Log lines that hold up nobody: a thread of their own writes them, and what nobody reads is dropped and counted.

A server whose standard error is a pipe that is read slowly, or not at all, would otherwise stop in the middle of a
frame when the pipe is full. Knows no server.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
from typing import TextIO

WAITING = 4_096  # lines that may wait to be written


class Patient(logging.Handler):
    """Formats where it is called, writes elsewhere."""

    def __init__(self, stream: TextIO | None = None, waiting: int = WAITING) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self.lost = 0
        self._lines: queue.Queue[str] = queue.Queue(waiting)
        threading.Thread(target=self._write, name="facerig-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.lost += 1

    def flush(self, seconds: float = 0.5) -> None:
        """Wait for what waits, but not for ever: a server must be able to end."""
        lines = self._lines
        with lines.all_tasks_done:
            lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, seconds)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            with contextlib.suppress(OSError, ValueError):  # nobody there any more
                self.stream.write(line + "\n")
                self.stream.flush()
            self._lines.task_done()
