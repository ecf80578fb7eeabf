"""What clients ask of a face, in the words of both wires -> `facerig.controls`. Knows no message.

The older controls of our protocol (emotion, gains, state, look-at) are shorthands for groups of controls; `Set` takes
any control by its own name. NVIDIA's ten emotions are points of the same space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facerig.controls import EMOTIONS, FADE_MS, STATES, Controls, group, place
from facerig.emotion import describe, space, styles
from facerig.errors import OptionError, check_option
from facerig.rig import REGIONS
from facerig.stage import Frames

EMOTION_FADE_MS, GAIN_FADE_MS, LOOK_FADE_MS = 250, 100, 150
NAMES = tuple(dict.fromkeys((*space.OURS, *space.A2F_NAMES, *EMOTIONS)))
"""Names of emotions that are told to clients; more words are understood (`space.NAMES`)."""
EPSILON = 1e-4  # below it an emotion is not worth sending
_FELT = (group("emotion"), place("intensity"))


def emotion(controls: Controls, frame: int, weights: Mapping[str, float], intensity: float = 1.0,
            fade_ms: float = EMOTION_FADE_MS) -> None:
    """A mixture from a frame on, in place of the one before."""
    mixed = space.mixture(weights)
    _range("intensity", intensity, 0, 1)
    controls.replace(frame, "emotion", space.columns(mixed), fade_ms)
    controls.set(frame, {"intensity": intensity}, fade_ms)


def gains(controls: Controls, frame: int, regions: Mapping[str, float], fade_ms: float = GAIN_FADE_MS) -> None:
    """Gains of regions or of `all`; others stay."""
    values: dict[str, float] = {}
    for region, gain in regions.items():
        check_option("region", region[:40], ", ".join(("all", *REGIONS)), region in ("all", *REGIONS))
        values |= {f"gain:{name}": gain for name in (REGIONS if region == "all" else (region,))}
    controls.set(frame, values, fade_ms)


def state(controls: Controls, frame: int, name: str, fade_ms: float = FADE_MS) -> None:
    """A state by name; the empty name hands it back to the voice."""
    check_option("state", name[:40], ", ".join(STATES), name in ("", *STATES))
    controls.replace(frame, "state", {f"state:{name}": 1.0} if name else {}, fade_ms)


def look_at(controls: Controls, frame: int, yaw: float, pitch: float, fade_ms: float = LOOK_FADE_MS,
            release: bool = False) -> None:
    """Where to look, in degrees; released, the eyes go their own way."""
    if release:
        controls.set(frame, {"look:held": 0.0}, fade_ms)
    else:
        controls.set(frame, {"look:yaw": yaw, "look:pitch": pitch, "look:held": 1.0}, fade_ms)


def style(controls: Controls, frame: int, text: str, fade_ms: float = FADE_MS) -> None:
    """A style of speaking by name, names with weights, or eight numbers."""
    controls.replace(frame, "style", styles.columns(styles.style(text)), fade_ms)


def described(controls: Controls, first: int, frames: int) -> tuple[str, tuple[str, ...]]:
    """(keyframes as JSON, sentences) of what controls do from a frame on; takes milliseconds, so off the event loop."""
    keys = describe.of(controls, frames, first)
    return describe.text(keys), tuple(describe.sentences(keys))


def moods(rows: Frames) -> Frames:
    """[n, controls.WIDTH] -> [n, 12]: what is felt, in the order of EMOTIONS."""
    felt: Frames = rows[:, _FELT[0]] * rows[:, _FELT[1]][:, None]
    return felt


def named(mood: Frames | Sequence[float]) -> dict[str, float]:
    """What is felt by name: the first twelve of a row; what was heard may stand behind them."""
    return {name: float(weight) for name, weight in zip(EMOTIONS, mood[: len(EMOTIONS)], strict=True)
            if weight > EPSILON}


def heard(mood: Frames | Sequence[float]) -> dict[str, float] | None:
    """What was heard in the voice, before it was smoothed and mixed; None where nobody listens."""
    return named(mood[len(EMOTIONS) :]) if len(mood) > len(EMOTIONS) else None


def _range(name: str, got: float, low: float, high: float) -> None:
    if not low <= got <= high:  # NaN fails too
        raise OptionError(f"{name}: got {got:g}, accepted: {low:g} to {high:g}")
