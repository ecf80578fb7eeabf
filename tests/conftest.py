"""What tests share: where the data and the other people's readers lie (beside the repository, if at all)."""

from __future__ import annotations

import signal
import socket
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from live_kit import Device

# No test fails because a machine is busy. `make check` tries the same examples each time, so that a failure is of the
# change and not of the dice; a plain pytest goes on looking for new ones.
settings.register_profile("searching", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("searching"), derandomize=True)
settings.load_profile("searching")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech, motion and heads; the test skips where it is absent."""
    return _needed(SHARED / "data")


@pytest.fixture(scope="session")
def validators() -> Path:
    """Independent readers of files and packets; the test skips where they are absent."""
    return _needed(SHARED / "validators")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Tables of names to compare with; the test skips where they are absent."""
    return _needed(SHARED / "reference")


def _needed(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"{folder} is not on this machine")
    return folder


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """A datagram socket of this machine that hears what is sent to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(60)  # only there to end a test that fails, on a busy machine too
        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that leaves no frame out, however long a busy machine stands still: what is sent can be counted."""
    monkeypatch.setattr("unreal_bridge.clock.PATIENCE", 1e9)


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A second of sound at 16 kHz."""
    file = tmp_path / "ada.wav"
    samples = (np.sin(np.arange(16_000) / 20) * 12_000).astype("<i2")
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(samples.tobytes())
    return file


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A microphone that does what the test says."""
    made = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", made.module())
    return made


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """Signals are heard here and in what is started from here, though who began the tests ignores them (nohup, &)."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        wanted[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, way) for number, way in wanted.items()}
    yield
    for number, way in before.items():
        signal.signal(number, way)
