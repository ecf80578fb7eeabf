"""VTube Studio over a websocket: connects, authenticates, comes back when the program does. The lane's thread waits.

The token that the user has granted is kept in the user's own folder, readable by them alone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from facerig.errors import FacerigError, MissingExtra, ServiceError
from facerig.files import user_folder, write_file
from unreal_bridge import vts
from unreal_bridge.pose import ARKIT, Pose

CONNECT_SECONDS = 2.0
RETRY_SECONDS = 3.0


class VtsTarget:
    """Injects every pose's parameters; before that, has the conversation that leads there."""

    def __init__(self, name: str, host: str, port: int, fps: int = 60, token_file: Path | None = None) -> None:
        from facerig.rig import rig

        self.name, self.fps = name, fps
        self._url = f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"
        self._file = token_file or user_folder() / "vtube_studio_token"
        self._session = vts.Session(token=_stored(self._file), own=vts.own_parameters(rig(ARKIT).names))
        self._connect: Any = _client()
        self._link: Any = None
        self._retry = 0.0

    prompt = False  # connecting may take a while

    def prepare(self, pose: Pose) -> None:
        pose.face()

    def send(self, pose: Pose) -> int:
        if self._link is None:
            self._open()
        try:
            self._hear()
            if self._session.state != "ready" or pose.curves is None:
                return 0
            self._link.send(self._session.inject(vts.values(pose.face())))
        except FacerigError:
            raise
        except Exception as error:  # the library's own tree, which may be absent when this module is read
            self._lost()
            raise ServiceError(f"VTube Studio: connection lost ({type(error).__name__}); trying again") from None
        return 1

    def status(self) -> str:
        words = {"token": "waiting: allow facerig in VTube Studio's window", "authenticate": "authenticating",
                 "create": "creating parameters", "ready": "sending", "closed": "not connected",
                 "refused": "refused"}[self._session.state]
        return f"{words} ({self._session.reason})" if self._session.reason else words

    def close(self) -> None:
        self._lost()

    def _open(self) -> None:
        if time.monotonic() < self._retry:
            raise ServiceError(f"VTube Studio: {self.status()}; trying again")
        self._retry = time.monotonic() + RETRY_SECONDS
        try:
            self._link = self._connect(self._url, open_timeout=CONNECT_SECONDS, close_timeout=0.2,
                                       max_size=vts.MAX_MESSAGE, compression=None, proxy=None)
            for text in self._session.open():
                self._link.send(text)
        except Exception as error:
            self._lost()
            raise ServiceError(f"VTube Studio at {self._url}: {error}; is its plugin API switched on?") from None

    def _hear(self) -> None:
        """Whatever has arrived; never waits."""
        while (text := self._received()) is not None:
            before = self._session.token
            for answer in self._session.feed(text):
                self._link.send(answer)
            if self._session.token != before:
                _store(self._file, self._session.token)

    def _received(self) -> str | bytes | None:
        try:
            text: str | bytes = self._link.recv(timeout=0)
        except TimeoutError:
            return None
        return text

    def _lost(self) -> None:
        link, self._link = self._link, None
        if self._session.state != "refused":
            self._session.state = "closed"
        if link is not None:
            link.close()


def _client() -> Any:
    try:
        from websockets.sync.client import connect
    except ImportError as error:
        raise MissingExtra("VTube Studio", "live", "websockets") from error
    return connect


def _stored(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()[:256]
    except (OSError, UnicodeDecodeError):
        return ""


def _store(file: Path, token: str) -> None:
    os.chmod(write_file(file, token.encode()), 0o600)
