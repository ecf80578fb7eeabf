"""facerig: speech in, a living face out.

    import facerig
    curves = facerig.animate("voice.wav")          # 71 channels at 60 frames a second
    facerig.save(curves.resample(30), "voice.csv")   # Live Link Face CSV; the suffix chooses the format

Everything else has its own module: `facerig.pipeline` (Animator, Session), `facerig.curves`, `facerig.rig`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from facerig.curves import Curves
    from facerig.mesh import Head
    from facerig.pipeline import Animator

__version__ = "0.1.0"

# name -> module that holds it; loaded when first asked for, so that importing facerig stays light
_LAZY = {"Animator": "facerig.pipeline", "Curves": "facerig.curves", "FacerigError": "facerig.errors",
         "Head": "facerig.mesh", "Session": "facerig.pipeline", "concat": "facerig.curves"}

__all__ = ["Animator", "Curves", "FacerigError", "Head", "Session", "animate", "concat", "load", "save"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module = import_module(_LAZY[name])
        return getattr(module, name)
    raise AttributeError(f"module 'facerig' has no attribute {name!r}")


@lru_cache(maxsize=4)
def _animator(model: str, alive: bool, emotion: str) -> Animator:
    from facerig.pipeline import Animator

    return Animator.load(model, alive=alive, emotion=emotion)


def animate(audio: ArrayLike | str | os.PathLike[str], rate: int | None = None, model: str = "auto",
            alive: bool = True, emotion: str = "off", seed: int = 0) -> Curves:
    """The curves of a clip: a file's path, or samples with their rate. The model is loaded once.

    `alive`: with blinks, gaze and head; `emotion`: off, auto (heard in the voice), or as in happy:0.7,surprise:0.2;
    another `seed` gives another take with the same lips.
    """
    from facerig.asking import Asked

    asked = Asked(emotion=emotion)
    return _animator(model, alive, asked.hears).animate(audio, rate, controls=asked.controls(), seed=seed)


def save(curves: Curves, path: str | os.PathLike[str], head: Head | None = None) -> None:
    """Write a curves file; the suffix chooses the format, and the file appears complete or not at all."""
    from pathlib import Path

    import exporters
    from facerig.files import write_file

    write_file(path, exporters.export(curves, Path(path), head))


def load(path: str | os.PathLike[str], fps: int | None = None) -> Curves:
    """Read a curves file; `fps` where the format does not hold one."""
    import exporters

    return exporters.read(path, fps)
