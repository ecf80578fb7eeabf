"""What may be asked of a face while it moves: one table of controls, and their course over time. Knows no wire.

Every control is a number per frame with a name, a default and a range; command line, Python and gRPC use these names.
`Controls.rows(first, count)` is a function of the frame number alone: a stream that is resumed with the same controls
gives the same frames. A row rides beside the audio through the chain; with all defaults a face speaks, neutral, alive.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import OptionError, check_option, did_you_mean
from facerig.rig import REGIONS
from facerig.stage import FPS, Frames, eased

Vector = NDArray[np.float32]

MAX_FADE_MS = 10_000
MAX_CHANGES = 1_024  # of a group that wait for their frame, where a peer asks for them
FADE_MS = 150  # where nothing is said
# Frames (2 s) before a stream begins through whose controls its face has lived: a posture's change (75), a listener's
# answer (120) and an emotion's onset (36) are over by then.
PRIME = 120
AGAIN = 300  # frames back that may be asked for once more: what an interrupt takes back was computed ahead

OVER = "over "  # before the name of a control that is held over its course, where controls are saved

# The points that span the space of emotions (facerig/emotion/space.py says what they mean and names their mixtures).
EMOTIONS = ("happy", "sad", "angry", "fear", "disgust", "surprise", "contempt",
            "amazement", "cheekiness", "grief", "outofbreath", "pain")
STATES = ("speaking", "listening", "thinking", "idle", "off")
STYLE = 8  # numbers of a style code


@dataclass(frozen=True)
class Control:
    """One column of a row."""

    name: str
    default: float
    low: float
    high: float
    unit: str
    what: str

    @property
    def group(self) -> str:
        """Columns of a group change together: `emotion:happy` and `emotion:sad` are one mixture."""
        return self.name.split(":")[0]

    @property
    def track(self) -> str:
        """What time runs one way for: the group, but the head's axes each by itself, for gestures overlap."""
        return self.name if self.group == "pose" else self.group

    @property
    def span(self) -> float:
        """What may be added to it, up or down."""
        return self.high - self.low


def _many(names: tuple[str, ...], prefix: str, low: float, high: float, default: float, what: str) -> list[Control]:
    return [Control(f"{prefix}:{name}", default, low, high, "", what.format(name)) for name in names]


CONTROLS: tuple[Control, ...] = (
    *_many(EMOTIONS, "emotion", 0, 1, 0, "share of {} in the mixture asked for"),
    *_many(EMOTIONS, "upper", 0, 1, 0, "share of {} in the upper face's own mixture"),
    Control("upper:held", 0, 0, 1, "", "how much the upper face follows its own mixture instead of the whole face's"),
    Control("intensity", 1, 0, 1, "", "of the emotion asked for"),
    Control("heard", 0, 0, 1, "", "how much the emotion heard in the voice counts beside the one asked for"),
    Control("expression_strength", 1, 0, 1, "", "of all emotion and style: 0 is neutral speech bit for bit"),
    Control("lip_scale", 1, 0, 2, "", "size of the speech movements"),
    *(Control(f"style:{k}", 0, -1, 1, "", "a number of the style code") for k in range(STYLE)),
    *_many(REGIONS, "gain", 0, 2, 1, "gain of the {} channels"),
    *_many(STATES, "state", 0, 1, 0, "{}; none of them means: told by the voice"),
    *_many(("blink", "gaze", "head", "idle", "react"), "life", 0, 1, 1, "gain of the behaviour {}: 0 leaves it out"),
    Control("blink_rate", 0, 0, 60, "1/min", "blinks a minute; 0: by state and emotion"),
    Control("look:yaw", 0, -90, 90, "degrees", "where to look, towards the own left"),
    Control("look:pitch", 0, -90, 90, "degrees", "where to look, up"),
    Control("look:held", 0, 0, 1, "", "how much the client holds the eyes"),
    Control("pose:yaw", 0, -90, 90, "degrees", "the head's pose asked for, towards the own left"),
    Control("pose:pitch", 0, -90, 90, "degrees", "the head's pose asked for, up"),
    Control("pose:roll", 0, -90, 90, "degrees", "the head's pose asked for, towards the own right shoulder"),
    Control("pose:held", 0, 0, 1, "", "1: the pose is the one asked for, unchanged; 0: asked for comes on top"),
    Control("sound:azimuth", 0, -180, 180, "degrees", "where a sound comes from, towards the own left"),
    Control("sound:level", 0, 0, 1, "", "how much the face turns to that sound"),
    Control("partner:voice", 0, 0, 1, "", "whether the partner speaks"),
    Control("partner:energy", 0, 0, 1, "", "how loud the partner speaks"),
    Control("partner:pitch", 0, -24, 24, "semitones", "the partner's pitch around the speaker's own middle"),
    Control("partner:phrase_end", 0, 0, 1, "", "1 where a phrase of the partner's ends"),
    Control("attitude", 0, -1, 1, "", "towards the partner: negative, neutral, positive"),
    *_many(("brows", "lids", "cheeks", "corners"), "raise", -1, 1, 0, "{} higher or lower, beside all else"),
    Control("raise:jaw", 0, 0, 1, "", "the jaw hangs lower; contacts close all the same"),
)
COLUMNS = tuple(control.name for control in CONTROLS)
WIDTH = len(COLUMNS)
DEFAULTS: Vector = np.array([control.default for control in CONTROLS], np.float32)
DEFAULTS.setflags(write=False)
_PLACES = {name: place for place, name in enumerate(COLUMNS)}


def place(name: str) -> int:
    """The column of a control; an error with the nearest names where there is none."""
    if name not in _PLACES:
        raise OptionError(f"control: got {name[:60]!r}, accepted: a name of `facerig info --controls`"
                          f"{did_you_mean(name, COLUMNS)}")
    return _PLACES[name]


@lru_cache(maxsize=64)
def group(name: str) -> slice:
    """The columns of a group; they lie side by side."""
    own = [k for k, control in enumerate(CONTROLS) if control.group == name]
    check_option("control group", name[:60], ", ".join(dict.fromkeys(c.group for c in CONTROLS)), bool(own))
    return slice(own[0], own[-1] + 1)


def _tracks() -> dict[str, slice]:
    names = [control.track for control in CONTROLS]
    return {name: slice(names.index(name), names.index(name) + names.count(name)) for name in dict.fromkeys(names)}


TRACKS = _tracks()  # the columns of each


def rows_of(count: int) -> Frames:
    """[count, WIDTH] of defaults: nothing is asked for."""
    return np.repeat(DEFAULTS[None], count, axis=0)


def checked(name: str, value: float) -> float:
    """The value, or our error that says the range."""
    control = CONTROLS[place(name)]
    check_option(name, value, "a number", isinstance(value, Real))
    if not control.low <= value <= control.high:  # NaN fails too
        accepted = f"{control.low:g} to {control.high:g} {control.unit}".rstrip()
        raise OptionError(f"{name}: got {value:g}, accepted: {accepted}")
    return value


# ---- over time ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """From frame `start` on, over `frames` frames, towards `target`."""

    start: int
    frames: int
    before: Vector
    target: Vector
    begun: int
    """When what it is a part of begins: a gesture is several changes."""

    def at(self, numbers: NDArray[np.int64]) -> Frames:
        """[n] frame numbers -> [n, width]."""
        share = np.clip((numbers - self.start + 1) / max(1, self.frames), 0, 1)
        mixed: Frames = self.before + (self.target - self.before) * eased(share).astype(np.float32)[:, None]
        mixed[share >= 1] = self.target  # exactly, so that a gain of one again changes nothing
        return mixed


@dataclass
class Track:
    """One vector over time. Other threads read while changes are added: the list grows at its end, or is replaced."""

    rest: Vector
    changes: list[Change] = field(default_factory=list)
    seen: int = -1
    """Frames up to here were asked for."""

    def change(self, start: int, frames: int, target: Vector, begun: int | None = None, most: int | None = None
               ) -> None:  # fmt: skip
        """Towards `target` from `start` on; at most `most` changes are kept."""
        changes, begun = self.changes, start if begun is None else begun
        if changes:  # time runs one way
            start, begun = max(start, changes[-1].start), max(begun, changes[-1].begun)
        before = changes[-1].at(np.array([start - 1], np.int64))[0] if changes else self.rest
        past = self._done(AGAIN + PRIME)  # a segment that begins where an interrupt went back to looks further back
        if len(changes) - past > AGAIN:  # but not at whatever price
            past = self._done(AGAIN)
        kept = len(changes) - past
        check_option("controls", kept + 1, f"up to {most} ahead", most is None or kept < most)
        if past:
            self.changes = changes[past:]
        self.changes.append(Change(start, frames, before, target, begun))

    def _done(self, frames: int) -> int:
        """How many changes had had their time so many frames ago; the one in force then is none of them."""
        return max(0, bisect_right(self.changes, self.seen - frames, key=_start) - 1)

    def at(self, numbers: NDArray[np.int64]) -> Frames:
        changes = self.changes
        out: Frames = np.repeat((changes[0].before if changes else self.rest)[None], len(numbers), axis=0)
        if not len(numbers):
            return out
        first = max(0, bisect_right(changes, int(numbers[0]), key=_start) - 1)
        for change in changes[first : bisect_right(changes, int(numbers[-1]), key=_start)]:
            live = numbers >= change.start
            out[live] = change.at(numbers[live])
        return out

    @property
    def last(self) -> Vector:
        """Where it will be when everything asked for has come about."""
        return self.changes[-1].target if self.changes else self.rest

    def cut(self, frame: int) -> None:
        """Forget what was to begin at this frame or later; a gesture that has begun comes to its end."""
        changes = self.changes
        kept = changes[: bisect_left(changes, frame, key=_begun)]
        self.rest = changes[0].before if changes and not kept else self.rest
        self.changes = kept

    def targets(self, frame: int) -> list[Vector]:
        """Where it goes at this frame, and where it is to go later."""
        return [self.rest, *(one.target for one in self.changes)][bisect_right(self.changes, frame, key=_start) :]


def _start(change: Change) -> int:
    return change.start


def _begun(change: Change) -> int:
    return change.begun


def fade_frames(milliseconds: float) -> int:
    """Native frames of a fade."""
    if not 0 <= milliseconds <= MAX_FADE_MS:
        raise OptionError(f"fade_ms: got {milliseconds:g}, accepted: 0 to {MAX_FADE_MS}")
    return round(milliseconds * FPS / 1000)


class Controls:
    """The controls of one stream by native frame; a track for every group, for the head's pose one for each control.

    `limit`: how many changes of a group may wait. A peer needs one; a file is bounded by its size.
    """

    def __init__(self, values: Mapping[str, float] | None = None, limit: int | None = None) -> None:
        self._tracks: dict[str, Track] = {}
        self._over: dict[str, Track] = {}
        """By control: its share, and that times the value, of what lies over the course."""
        self.limit = limit
        self.floor = 0
        """What is asked for an earlier frame begins here: what is computed stays as it is, and a fade is never cut."""
        if values:
            self.set(0, values, 0)

    @property
    def neutral(self) -> bool:
        """Whether nothing was ever asked for."""
        return not self._tracks and not self._over

    def set(self, frame: int, values: Mapping[str, float], fade_ms: float = FADE_MS, begun: int | None = None) -> None:
        """From native frame `frame` on these controls go to these values; all others stay. `begun`: when
        the gesture began of which this is a part."""
        frames = fade_frames(fade_ms)
        by_track: dict[str, dict[int, float]] = {}
        for name, value in values.items():
            where = place(name)
            by_track.setdefault(CONTROLS[where].track, {})[where] = checked(name, value)
        for name, wanted in by_track.items():
            span = TRACKS[name]
            track = self._tracks.get(name) or Track(DEFAULTS[span].copy())
            target = track.last.copy()
            for where, value in wanted.items():
                target[where - span.start] = value
            track.change(max(frame, self.floor), frames, target, begun, self.limit)
            self._tracks[name] = track

    def replace(self, frame: int, name: str, values: Mapping[str, float], fade_ms: float = FADE_MS) -> None:
        """As `set`, for a whole group: what is not named goes back to its default."""
        span = group(name)
        whole = {control.name: control.default for control in CONTROLS[span]}
        self.set(frame, {**whole, **values}, fade_ms)

    def hold(self, frame: int, values: Mapping[str, float], fade_ms: float = FADE_MS) -> None:
        """From native frame `frame` on these controls are at these values, whatever comes in their course: it runs on
        underneath until `let_go`."""
        frames = fade_frames(fade_ms)
        for name, value in {name: checked(name, value) for name, value in values.items()}.items():
            track = self._over.get(name) or Track(np.zeros(2, np.float32))
            track.change(max(frame, self.floor), frames, np.array([1, value], np.float32), most=self.limit)
            self._over[name] = track

    def let_go(self, frame: int, names: Iterable[str], fade_ms: float = FADE_MS) -> None:
        """From native frame `frame` on these controls go back to their course."""
        frames = fade_frames(fade_ms)
        for name in names:
            if name in self._over:
                self._over[name].change(max(frame, self.floor), frames, np.zeros(2, np.float32), most=self.limit)

    def last(self, name: str) -> float:
        """Where a control will be when everything asked for has come about."""
        where, own = place(name), CONTROLS[place(name)].track
        track, over = self._tracks.get(own), self._over.get(name)
        course = float(DEFAULTS[where] if track is None else track.last[where - TRACKS[own].start])
        return course if over is None else float(course * (1 - over.last[0]) + over.last[1])

    def free(self, name: str, frame: int) -> int:
        """The first frame from this one on at which a gesture of this control can begin: when the one before is over,
        and not before what waits, for time runs one way."""
        track = self._tracks.get(CONTROLS[place(name)].track)
        if track is None or not track.changes:
            return max(frame, self.floor)
        last = track.changes[-1]
        return max(frame, self.floor, last.start + (last.frames if last.begun < last.start else 0))

    def cut(self, frame: int) -> None:
        """Forget what was to begin at this frame or later; what has begun goes on."""
        self.floor = min(self.floor, frame)
        for track in (*self._tracks.values(), *self._over.values()):
            track.cut(frame)

    def awaits(self, names: Sequence[str], frame: int) -> bool:
        """Whether any of these controls of one track is asked for at this frame, its fade done, or later."""
        places = [place(name) for name in names]
        own = CONTROLS[places[0]].track
        track, begin = self._tracks.get(own), TRACKS[own].start
        return track is not None and any(target[where - begin] for target in track.targets(frame) for where in places)

    def says(self, name: str) -> bool:
        """Whether anything was ever asked of a group."""
        return any(one.split(":")[0] == name for one in (*self._tracks, *self._over))

    def saved(self) -> dict[str, Any]:
        """As JSON, for `restored`: what is in force and what waits."""
        tracks = {**self._tracks, **{f"{OVER}{name}": track for name, track in self._over.items()}}
        return {name: {"seen": track.seen, "changes": [
            [one.start, one.frames, one.before.tolist(), one.target.tolist(), one.begun] for one in track.changes
        ]} for name, track in tracks.items()}

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Controls:
        """What `saved` gave, bit for bit (JSON does float32 no harm); ValueError where it is something else."""
        out = cls()
        for name, given in saved.items():
            over = name.removeprefix(OVER) if name.startswith(OVER) else ""
            if over not in COLUMNS if over else name not in TRACKS:
                raise ValueError(f"controls: no track {name[:40]!r}")
            rest = np.zeros(2, np.float32) if over else DEFAULTS[TRACKS[name]].copy()
            changes = [
                Change(int(start), int(frames), np.array(before, np.float32), np.array(target, np.float32), int(begun))
                for start, frames, before, target, begun in given["changes"]
            ]
            if any(one.before.shape != rest.shape or one.target.shape != rest.shape for one in changes):
                raise ValueError(f"controls: track {name} has another width")
            (out._over if over else out._tracks)[over or name] = Track(rest, changes, int(given["seen"]))
        return out

    def copy(self) -> Controls:
        """The same course; asking the copy, or changing it, does nothing to this one."""
        out = Controls(limit=self.limit)
        out._tracks, out._over = (
            {name: replace(track, changes=[*track.changes]) for name, track in tracks.items()}
            for tracks in (self._tracks, self._over))
        return out

    def rows(self, first: int, count: int) -> Frames:
        """[count, WIDTH] from native frame `first` on."""
        out = rows_of(count)
        numbers = np.arange(first, first + count, dtype=np.int64)
        for name, track in list(self._tracks.items()):  # other threads may add a group meanwhile
            track.seen = max(track.seen, first)
            out[:, TRACKS[name]] = track.at(numbers)
        for name, track in list(self._over.items()):
            track.seen = max(track.seen, first)
            laid = track.at(numbers)
            out[:, place(name)] = out[:, place(name)] * (1 - laid[:, 0]) + laid[:, 1]
        return out
