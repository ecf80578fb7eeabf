"""What a client remembers of a stream, so that any replica can go on with it: audio, controls, and where it stands.
Pure.

The server's frames are a function of the audio of the last R seconds and of the controls; so these are all that is
kept, plus what has been given by the caller and not yet been answered with frames. """

from __future__ import annotations

from dataclasses import dataclass, field

from facerig.client.options import Wish
from facerig.v1 import animation_pb2 as pb

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
    controls: list[pb.Control] = field(default_factory=list)
    ended: bool = False
    gains: dict[str, float] = field(default_factory=dict)

    # ---- what the caller gives --------------------------------------------------------------------------------

    def hear(self, data: bytes) -> None:
        self.audio += data

    @property
    def samples(self) -> int:
        """Whole samples of the segment so far."""
        return self.first_sample + len(self.audio) // self.wish.width

    def place(self, control: pb.Control) -> pb.Control:
        """Note a control, with the frame at which it takes effect, so that a replica repeats it at the same place."""
        if not control.HasField("frame"):
            control.frame = self.segment_frame + -(-self.samples * self.wish.fps // self.wish.rate)
        if control.WhichOneof("what") == "gains":  # what earlier ones said of other regions is said again
            self.gains.update(control.gains.regions)
            control.gains.regions.update(self.gains)
        self.controls.append(control)
        return control

    # ---- what the server says -----------------------------------------------------------------------------------

    def got(self, frame: pb.Frame) -> None:
        self.last_frame, self.last_values = frame.index, tuple(frame.values)
        row = frame.index + 1 - self.segment_frame
        keep = row * self.wish.rate // self.wish.fps - self.context_ms * self.wish.rate // 1000
        drop = min(keep - self.first_sample, len(self.audio) // self.wish.width)
        if drop > self.wish.rate // 4:  # in pieces of 250 ms, so that frames do not move bytes
            del self.audio[: drop * self.wish.width]
            self.first_sample += drop

    def reached(self, marker: str) -> None:
        self.controls = [one for one in self.controls if one.marker.id != marker or not one.HasField("marker")]

    def interrupted(self, segment_frame: int) -> None:
        """A new segment: what was given before belongs to nothing any more."""
        self.segment_frame, self.first_sample = segment_frame, 0
        self.audio.clear()
        self.controls = [one for one in self.controls if not one.HasField("marker")]

    # ---- what a replica is told -----------------------------------------------------------------------------------

    def resumption(self) -> pb.Header:
        header = self.wish.header()
        header.resume.CopyFrom(pb.Resume(
            session_id=self.session_id, last_frame=self.last_frame, first_sample=self.first_sample,
            segment_frame=self.segment_frame, last_values=self.last_values,
        ))
        return header

    def standing(self) -> list[pb.Control]:
        """Controls that still say something: of each kind the last one that is over, and all since."""
        self._forget()
        return list(self.controls)

    def _forget(self) -> None:
        past = self.last_frame - FADE_MOST * self.wish.fps
        last: dict[str, int] = {}
        for place, one in enumerate(self.controls):
            if one.frame <= past:
                last[one.WhichOneof("what") or ""] = place
        self.controls = [
            one
            for place, one in enumerate(self.controls)
            if one.frame > past or last.get(one.WhichOneof("what") or "") == place or one.HasField("marker")
        ]
