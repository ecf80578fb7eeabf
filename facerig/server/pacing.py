"""When a frame leaves. Pure arithmetic on a monotonic clock that the caller reads: a jump of the wall clock is not
seen.

Frame k is due at anchor + k / fps. The anchor starts with the first frame; a frame that comes late moves it by as
much, so that the ones behind it keep their distance and engines never get a burst. When all frames of a while were
early, the anchor creeps back: by what lateness had cost, and further while the source looks live (early by a little:
its clock runs faster than ours). A clip that was sent at once is early by a lot and keeps the plain schedule. """

from __future__ import annotations

from dataclasses import dataclass

from facerig.errors import check_option

MODES = ("realtime", "burst", "lead")
MAX_LEAD_MS = 60_000
WINDOW = 2.0  # seconds over which earliness is watched
MARGIN = 0.004  # seconds of earliness that are kept
LIVE = 0.25  # seconds: earlier than this is no live source
CREEP = 0.05  # share of time that the anchor may win back: 5 % faster is not seen on a face
LATE = 1 / 60  # seconds after which a frame counts as late


@dataclass(frozen=True)
class Pacing:
    """How frames leave."""

    mode: str = "realtime"
    lead_ms: int = 0

    def __post_init__(self) -> None:
        check_option("pacing", self.mode, ", ".join(MODES), self.mode in MODES)
        check_option("lead_ms", self.lead_ms, f"0 to {MAX_LEAD_MS}", 0 <= self.lead_ms <= MAX_LEAD_MS)

    @classmethod
    def parse(cls, text: str) -> Pacing:
        """`realtime`, `burst` or `lead:250`."""
        mode, _, lead = text.partition(":")
        check_option(
            "pacing", text, "realtime, burst or lead:MILLISECONDS", not lead or (mode == "lead" and lead.isdigit())
        )
        return cls(mode, int(lead or 0))

    @property
    def lead(self) -> float:
        return self.lead_ms / 1000 if self.mode == "lead" else 0.0


class Pacer:
    """The schedule of one stream."""

    def __init__(self, pacing: Pacing, fps: int) -> None:
        self.pacing, self.fps = pacing, fps
        self._anchor: float | None = None
        self._cost = 0.0  # how much lateness has moved the anchor
        self._spare = 0.0
        self._slack = float("inf")
        self._window_end = 0
        self.late = 0
        self._settled = 0

    def leaves(self, frame: int, now: float) -> float:
        """Seconds until this frame, which is ready now, may leave (0 or less: at once)."""
        if self.pacing.mode == "burst":
            return 0.0
        if self._anchor is None:
            self._anchor, self._window_end = now - frame / self.fps, frame + int(WINDOW * self.fps)
            self._settled = frame + self.fps // 2
        return self._anchor + frame / self.fps - self.pacing.lead - now

    def left(self, frame: int, ready: float) -> None:
        """Tell that a frame left which had been ready since `ready`."""
        if self._anchor is None:
            return
        early = self._anchor + frame / self.fps - ready
        self._creep(early)
        if early < 0:
            self._move(-early)
            self.late += frame > self._settled and -early > LATE
        self._slack = min(self._slack, max(early, 0.0))
        if frame >= self._window_end:
            spare = max(self._slack - MARGIN, 0.0)
            self._spare = spare if self._slack < LIVE else min(spare, max(self._cost, 0.0))
            self._slack, self._window_end = float("inf"), frame + int(WINDOW * self.fps)

    def _creep(self, early: float) -> None:
        """Win back a little with each frame, as long as nothing is late."""
        step = min(self._spare, CREEP / self.fps) if early > 0 else self._spare
        self._spare -= step
        if early > 0:
            self._move(-step)

    def _move(self, seconds: float) -> None:
        assert self._anchor is not None
        self._anchor += seconds
        self._cost += seconds

    def restart(self, frame: int, now: float) -> None:
        """After a break in the numbering's clock (an interrupt): this frame is due now, unless it was due later, as
        where frames leave early: their lead stays what it is."""
        if self._anchor is not None:
            self._anchor = max(self._anchor, now - frame / self.fps)
