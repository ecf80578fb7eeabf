"""What a client remembers of a stream, so that any replica can go on with it: audio, controls, and where it stands.
Pure.

The server's frames are a function of the audio of the last R seconds and of the controls; so these are all that is
kept, plus what has been given by the caller and not yet been answered with frames. """

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from facerig.client.options import Wish
from facerig.errors import OptionError
from facerig.rig import REGIONS
from facerig.v1 import animation_pb2 as pb

MOVE_MOST = 40  # seconds: the longest gesture
LASTING = ("marker", "describe", "keyframes")  # an answer is owed, or no later control says all that it said
TEXTS_MOST = 64  # keyframes that are told again: those before them have long been said
FADE_MOST = 10  # seconds: the longest fade; a control older than that has done all it does


@dataclass
class Memory:
    """One stream, seen from the client."""

    wish: Wish
    session_id: str = ""
    last_frame: int = -1
    last_values: tuple[float, ...] = ()
    segment_frame: int = 0
    context_ms: int = 0
    resumable: bool = True
    first_sample: int = 0
    """Number, in the segment, of the first sample that is kept."""
    audio: bytearray = field(default_factory=bytearray)
    partner: bytearray = field(default_factory=bytearray)
    """Beside `audio`, where there ever was any."""
    controls: dict[int, pb.Control] = field(default_factory=dict)
    """By number, in the order in which they were given: a connection knows by it which it has told."""
    placed: int = 0
    """Controls so far: the number of the next one."""
    ended: bool = False
    _tidied: int = 0  # the frame at which controls were last forgotten

    # ---- what the caller gives --------------------------------------------------------------------------------

    def hear(self, data: bytes, partner: bytes = b"") -> None:
        """Own samples and, as many, those of the partner in the talk; where one is missing it is silence."""
        own, other = self.wish.width, self.wish.partner_width
        fits = not len(partner) % other and not (partner and len(self.audio) % own)
        if not fits or (data and partner and len(data) * other != len(partner) * own):
            raise OptionError(f"partner: got {len(partner)} bytes of {other} a sample beside {len(data)} of {own}, "
                              "accepted: whole samples, as many")
        kept = len(self.audio) // own * other
        self.audio += data or bytes(len(partner) // other * own)
        if partner or self.partner:
            self.partner += bytes(kept - len(self.partner))  # silence where none came before
            self.partner += partner or bytes(len(self.audio) // own * other - kept)

    @property
    def samples(self) -> int:
        """Whole samples of the segment so far."""
        return self.first_sample + len(self.audio) // self.wish.width

    @property
    def shown(self) -> float:
        """Seconds of the segment whose frames came."""
        return max(0, self.last_frame + 1 - self.segment_frame) / self.wish.fps

    @property
    def ahead(self) -> float:
        """Seconds of audio behind the last frame that came."""
        return self.samples / self.wish.rate - self.shown

    def place(self, control: pb.Control) -> pb.Control:
        """Note a control, with the frame at which it takes effect, so that a replica repeats it at the same place."""
        if not control.HasField("frame"):
            control.frame = self.segment_frame + -(-self.samples * self.wish.fps // self.wish.rate)
        self._note(control)
        return control

    def _note(self, control: pb.Control) -> None:
        self.controls[self.placed] = control
        self.placed += 1

    # ---- what the server says -----------------------------------------------------------------------------------

    def got(self, frame: pb.Frame) -> None:
        self.last_frame, self.last_values = frame.index, tuple(frame.values)
        row = frame.index + 1 - self.segment_frame
        keep = row * self.wish.rate // self.wish.fps - self.context_ms * self.wish.rate // 1000
        drop = min(keep - self.first_sample, len(self.audio) // self.wish.width)
        if drop > self.wish.rate // 4:  # in pieces of 250 ms, so that frames do not move bytes
            del self.audio[: drop * self.wish.width]
            del self.partner[: drop * self.wish.partner_width]
            self.first_sample += drop
        if frame.index >= self._tidied + self.wish.fps:
            self.forget()

    def reached(self, marker: str) -> None:
        self._drop(lambda one: one.HasField("marker") and one.marker.id == marker)

    def described(self) -> None:
        """The oldest question has its answer."""
        asked = next((one for one in self.controls.values() if one.HasField("describe")), None)
        self._drop(lambda one: one is asked)

    def interrupted(self, frame: int, segment_frame: int) -> None:
        """A new segment: what was given before belongs to nothing any more, and the voice tells the state again. The
        server drops the controls of what was not shown, so nobody is told them again; a question is still owed."""
        self.segment_frame, self.first_sample = segment_frame, 0
        self.audio.clear()
        self.partner.clear()
        self._drop(lambda one: one.HasField("marker") or (one.frame >= frame and not one.HasField("describe")))
        self.controls = {number: _ended(one, frame) for number, one in self.controls.items()}
        self._note(pb.Control(frame=frame, state=pb.STATE_UNSPECIFIED))

    def _drop(self, over: Callable[[pb.Control], bool]) -> None:
        self.controls = {number: one for number, one in self.controls.items() if not over(one)}

    # ---- what a replica is told -----------------------------------------------------------------------------------

    def resumption(self) -> pb.Header:
        header = self.wish.header()
        header.resume.CopyFrom(pb.Resume(
            session_id=self.session_id, last_frame=self.last_frame, first_sample=self.first_sample,
            segment_frame=self.segment_frame, last_values=self.last_values,
        ))
        return header

    def forget(self) -> None:
        """Keep the controls that still say something: all of late, and of the older ones those that nothing later
        overrules."""
        self._tidied = self.last_frame
        ago = self.wish.fps * MOVE_MOST
        past = self.last_frame - FADE_MOST * self.wish.fps - self.context_ms * self.wish.fps // 1000
        overruled: set[str] = set()
        kept: dict[int, pb.Control] = {}
        texts = 0
        for number, one in reversed(self.controls.items()):
            names, what = touched(one), one.WhichOneof("what")
            texts += what == "keyframes"
            young = one.frame > past - (ago if what == "move" else 0)
            if what == "keyframes" and texts > TEXTS_MOST:
                continue
            if young or what in LASTING or not names <= overruled:
                kept[number] = one
            if one.frame <= past:
                overruled |= names
        self.controls = dict(reversed(kept.items()))


def _ended(control: pb.Control, frame: int) -> pb.Control:
    """The same; of keyframes what begins before that frame."""
    if not control.HasField("keyframes") or control.keyframes.HasField("until"):
        return control
    out = pb.Control()
    out.CopyFrom(control)
    out.keyframes.until = frame
    return out


def touched(control: pb.Control) -> set[str]:
    """What a control sets, by names that are the same for every way of setting it."""
    what = control.WhichOneof("what") or ""
    if what == "gains":
        regions = set(control.gains.regions)
        return {f"gain:{name}" for name in (REGIONS if "all" in regions else regions)}
    if what == "set":
        return set(control.set.values)
    return {what}
