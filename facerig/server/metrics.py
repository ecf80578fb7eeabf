"""What an operator sees at /metrics. One registry a server, so that tests and two servers in a process stay apart."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from facerig.errors import MissingExtra

LATENCY = (0.005, 0.01, 0.017, 0.025, 0.034, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
STEP = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# attribute, kind, name, help, labels, buckets
TABLE: tuple[tuple[str, str, str, str, tuple[str, ...], tuple[float, ...]], ...] = (
    ("sessions", "Gauge", "facerig_sessions", "Streams running", ("front",), ()),
    ("opened", "Counter", "facerig_sessions_opened", "Streams begun", ("front",), ()),
    ("resumed", "Counter", "facerig_sessions_resumed", "Streams taken over from a broken connection", (), ()),
    ("frames", "Counter", "facerig_frames", "Frames sent", ("front",), ()),
    ("audio", "Counter", "facerig_audio_seconds", "Audio received", (), ()),
    ("late", "Counter", "facerig_frames_late", "Frames more than 16.7 ms after they were due", (), ()),
    ("dropped", "Counter", "facerig_dropped_seconds", "Audio dropped by interrupts", (), ()),
    ("errors", "Counter", "facerig_errors", "Streams that ended badly or were refused", ("cause",), ()),
    ("latency", "Tally", "facerig_latency_seconds", "From the last sample a frame needs to the frame", (), LATENCY),
    ("queue_age", "Histogram", "facerig_queue_age_seconds", "Oldest ready stream of a step", (), LATENCY),
    ("step", "Histogram", "facerig_step_seconds", "One step of the engine", (), STEP),
    ("batch", "Histogram", "facerig_batch_streams", "Streams in a step", (), BATCH),
    ("capacity", "Gauge", "facerig_capacity", "Real-time streams that are admitted", (), ()),
    ("busy", "Gauge", "facerig_engine_busy", "Part of the time that the engine works", (), ()),
    ("loop_lag", "Gauge", "facerig_loop_lag_seconds", "How late the event loop wakes", (), ()),
    ("serving", "Gauge", "facerig_serving", "1 while new streams are taken", (), ()),
)


class Tally:
    """A histogram that one thread fills: without locks it costs a tenth, and there is a frame every 17 ms a stream."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], registry: Any,
                 buckets: tuple[float, ...]) -> None:
        assert not labels
        self._name, self._text, self._bounds = name, text, buckets
        self._counts, self._sum = [0] * (len(buckets) + 1), 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Any]:
        """As prometheus_client asks for it."""
        from prometheus_client.core import HistogramMetricFamily

        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, (float(count) for count in accumulate(self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class Metrics:
    """The table's rows as attributes."""

    def __init__(self) -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise MissingExtra("the server", "serve", str(error)) from error
        self.registry = prometheus_client.CollectorRegistry()
        self._generate = prometheus_client.generate_latest
        self._rows: dict[str, Any] = {}
        for attribute, kind, name, text, labels, buckets in TABLE:
            options = {"buckets": buckets} if buckets else {}
            make = Tally if kind == "Tally" else getattr(prometheus_client, kind)
            self._rows[attribute] = make(name, text, labels, registry=self.registry, **options)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_rows"][name]
        except KeyError:
            raise AttributeError(name) from None

    def text(self) -> bytes:
        return self._generate(self.registry)
