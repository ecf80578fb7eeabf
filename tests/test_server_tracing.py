"""OpenTelemetry: spans of a running server arrive at a collector. Needs the extra `trace`."""

from __future__ import annotations

import asyncio
from concurrent import futures

import grpc
import numpy as np
import pytest
from server_kit import END, RATE, animate, animator, audio, channel, header, noise, process, rows, run, said, serving

from facerig.errors import MissingExtra
from facerig.server import tracing
from facerig.v1 import animation_pb2 as pb

TINY = {"sessions": 4, "max_batch": 4, "capacity": 4}
ANIMATE = "/facerig.v1.Animation/Animate"


def test_without_the_extra_it_is_said(monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(tracing, "import_module", absent)
    assert tracing.interceptors(False) == []
    with pytest.raises(MissingExtra, match="trace"):
        tracing.interceptors(True)


class Collector:
    """An OTLP collector that keeps what it is sent."""

    def __init__(self):
        service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2",
                                      reason="the extra trace is not installed")
        self.spans, self.names = [], set()
        handler = grpc.unary_unary_rpc_method_handler(
            self.take, service.ExportTraceServiceRequest.FromString,
            service.ExportTraceServiceResponse.SerializeToString)
        self.answer = service.ExportTraceServiceResponse
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": handler}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None)

    def take(self, request, context):
        for resource in request.resource_spans:
            self.names |= {one.value.string_value for one in resource.resource.attributes if one.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return self.answer()


def test_every_call_of_a_server_makes_a_span_and_loses_no_bit(monkeypatch):
    """In this process, to an exporter in memory: a stream, a refused one, a single call; frames are as ever."""
    pytest.importorskip("opentelemetry.sdk.trace", reason="the extra trace is not installed")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()

    async def work():
        async with serving(**TINY, trace=True) as server, channel(server.ports["facerig"]) as link:
            good = await said(animate(link, iter([header(), audio(noise(0.5)), END])))
            bad = await said(animate(link, iter([header(rig="octopus")])))
            info = link.unary_unary("/facerig.v1.Animation/Info", pb.InfoRequest.SerializeToString,
                                    pb.InfoResponse.FromString)
            await info(pb.InfoRequest())
            return good, bad

    made = tracing.interceptors(True, kept)
    monkeypatch.setattr(tracing, "interceptors", lambda on: made)
    (answers, code), (_, refused) = run(work())
    assert (code, refused) == (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert np.array_equal(rows(answers)[1], animator().animate(noise(0.5), RATE).values)
    made[0]._tracer.span_processor.force_flush()
    spans = {span.name: [] for span in kept.get_finished_spans()}
    for span in kept.get_finished_spans():
        spans[span.name].append(span.attributes["rpc.grpc.status_code"])
    assert sorted(spans[ANIMATE]) == [0, 3]
    assert spans["/facerig.v1.Animation/Info"] == [0]


def test_spans_of_a_server_process_reach_a_collector():
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        with process("--set=trace=true", env=env) as (child, told):
            async def work():
                async with channel(told["ports"]["facerig"]) as link:
                    good = await said(animate(link, iter([header(), audio(noise(0.3)), END])))
                    bad = await said(animate(link, iter([header(rig="octopus")])))
                    return good, bad

            (answers, code), (_, refused) = run(work())
            child.terminate()
            assert child.wait(60) == 0
        assert (code, refused) == (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
        assert np.array_equal(rows(answers)[1], animator().animate(noise(0.3), RATE).values)
        assert collector.names == {"facerig"}
        spans = [{one.key: one.value for one in span.attributes} for span in collector.spans if span.name == ANIMATE]
        assert len(spans) == 2
        assert sorted(int(span["rpc.grpc.status_code"].int_value) for span in spans) == [0, 3]


def test_a_collector_that_is_not_there_costs_no_stream():
    pytest.importorskip("opentelemetry.sdk.trace", reason="the extra trace is not installed")
    with process("--set=trace=true", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) as (child, told):
        async def work():
            async with channel(told["ports"]["facerig"]) as link:
                return await asyncio.wait_for(said(animate(link, iter([header(), audio(noise(0.3)), END]))), 60)

        assert run(work())[1] is grpc.StatusCode.OK
        child.terminate()
        assert child.wait(60) == 0
