"""The emotion heard in a voice drawn over time: shares stacked, intensity, and valence, arousal, dominance."""

from __future__ import annotations

import io
from collections.abc import Sequence

from facerig.mesh import Floats
from facerig.preview.plot import _pyplot

SHADES = {"angry": "#c8423b", "boredom": "#a9b3bd", "disgust": "#7d8f3a", "fear": "#7a4fa0", "happy": "#e3a72f",
          "sad": "#3f74b5", "neutral": "#dfe3e8"}
LINES = ("#2f6fb0", "#d0672b", "#3b8f5a")


def plot(seconds: Floats, names: Sequence[str], scores: Floats, intensity: Floats, vad: Floats, title: str,
         suffix: str = ".png") -> bytes:
    """A picture (.png, .svg or .pdf); scores are [frames, names] and add up to at most 1."""
    pyplot = _pyplot()
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(11, 5), sharex=True, layout="constrained")
    try:
        upper.stackplot(seconds, scores.T, labels=names, colors=[SHADES.get(name, "#888888") for name in names])
        upper.set_ylim(0, 1)
        upper.set_ylabel("heard")
        upper.set_title(title, loc="left")
        lower.plot(seconds, intensity, color="#222222", label="intensity")
        for name, column, colour in zip(("valence", "arousal", "dominance"), vad.T, LINES, strict=True):
            lower.plot(seconds, column, color=colour, label=name)
        lower.axhline(0, color="#bbbbbb", linewidth=0.8)
        lower.set_ylim(-1, 1)
        lower.set_xlabel("seconds")
        for axis in (upper, lower):
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
            axis.margins(x=0)
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix.lstrip("."), dpi=110)
        return stream.getvalue()
    finally:
        pyplot.close(figure)
