"""What is installed, what is missing, for which feature, the command that installs it, and the sound devices that are
there. Changes nothing."""

from __future__ import annotations

import ctypes.util
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Need:
    """A row of the table: a feature, what it needs, and how that is installed."""

    feature: str
    kind: str
    """one of: module, program, library"""
    name: str
    install: str
    package: str = ""
    """the distribution that carries the module, where its name differs"""


@dataclass(frozen=True)
class Finding:
    """A need as found on this machine."""

    need: Need
    found: bool
    version: str


def _extra(feature: str, module: str, extra: str, package: str = "") -> Need:
    command = f'pip install "facerig[{extra}]"' if extra else "pip install facerig"
    return Need(feature, "module", module, command, package)


def _apt(feature: str, kind: str, name: str, package: str) -> Need:
    return Need(feature, kind, name, f"apt-get install {package}")


NEEDS: tuple[Need, ...] = (
    _extra("core", "numpy", ""),
    _extra("model on a CPU", "onnxruntime", ""),
    _extra("audio files", "soundfile", ""),
    _extra("server and clients", "grpc", "", "grpcio"),
    _extra("m4a, mp4 and mov; video out", "av", "media"),
    _extra("GPU, training", "torch", "torch"),
    _extra("training", "pocketsphinx", "train"),
    _extra("training", "onnxscript", "train"),
    _extra("pictures", "pyrender", "preview"),
    _extra("plots", "matplotlib", "preview"),
    _apt("pictures", "library", "EGL", "libegl1 libgl1-mesa-dri libgles2"),
    _extra("key reduction, fitting, pictures", "scipy", "keys"),
    _extra("reading FBX", "ufbx", "fbx"),
    _extra("USD", "pxr", "usd", "usd-core"),
    _extra("microphone, playback", "sounddevice", "live"),
    _apt("microphone, playback", "library", "portaudio", "libportaudio2"),
    _extra("VTube Studio", "websockets", "live"),
    _extra("server metrics", "prometheus_client", "serve", "prometheus-client"),
    _extra("FLAME against smplx (non-commercial licence)", "smplx", "flame"),
    _extra("batch on a cluster", "ray", "ray"),
    _apt("say; training speech (GPL tool)", "program", "espeak-ng", "espeak-ng"),
    _apt("say; training speech", "program", "flite", "flite"),
    _apt("training speech", "program", "festival", "festival"),
    _extra("tests", "pytest", "dev"),
    Need("reader tests", "program", "node", "apt-get install nodejs npm"),
)


@dataclass(frozen=True)
class Sound:
    """Microphones, by the names that `mic:NAME` takes, and loudspeakers; or why none can be listed."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    problem: str = ""


def sound() -> Sound:
    """What PortAudio finds here; only asking it tells, so this imports it."""
    try:
        import sounddevice
    except ImportError:
        return Sound(problem='sounddevice is not installed: pip install "facerig[live]"')
    except OSError:  # its library is loaded as it is imported
        return Sound(problem="PortAudio is missing: apt-get install libportaudio2")
    try:
        devices = [dict(device) for device in sounddevice.query_devices()]
    except sounddevice.PortAudioError as error:
        return Sound(problem=f"PortAudio cannot list the devices: {error}")
    inputs, outputs = (tuple(str(device["name"]) for device in devices if device[f"max_{way}_channels"] > 0)
                       for way in ("input", "output"))
    return Sound(inputs, outputs)


def examine(needs: tuple[Need, ...] = NEEDS) -> list[Finding]:
    """Look for everything, without importing any of it."""
    return [_find(need) for need in needs]


def _find(need: Need) -> Finding:
    if need.kind == "module":
        found = find_spec(need.name) is not None
        return Finding(need, found, _version(need.package or need.name) if found else "")
    where = shutil.which(need.name) if need.kind == "program" else ctypes.util.find_library(need.name)
    return Finding(need, where is not None, where or "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
