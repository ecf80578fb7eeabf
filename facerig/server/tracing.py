"""OpenTelemetry, where it is asked for and installed: a span of every call, with its method, peer and status."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from facerig.errors import MissingExtra

MODULES = ("sdk.trace", "sdk.resources", "sdk.trace.export", "exporter.otlp.proto.grpc.trace_exporter",
           "instrumentation.grpc")


def interceptors(on: bool, exporter: Any = None) -> list[Any]:
    """gRPC interceptors that make the spans. They are exported as OTEL_EXPORTER_OTLP_ENDPOINT says, or to `exporter`.

    The provider is the server's own: a program that runs a server keeps its global one. What waits is sent at exit.
    """
    if not on:
        return []
    try:
        sdk, resources, export, otlp, hooks = (import_module(f"opentelemetry.{name}") for name in MODULES)
    except ImportError as error:
        raise MissingExtra("tracing", "trace", str(error)) from error
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, where they are set, win over the name that is given here.
    named = resources.Resource({"service.name": "facerig"}).merge(resources.OTELResourceDetector().detect())
    provider = sdk.TracerProvider(resource=named)
    provider.add_span_processor(export.BatchSpanProcessor(exporter or otlp.OTLPSpanExporter()))
    return [hooks.aio_server_interceptor(tracer_provider=provider)]
