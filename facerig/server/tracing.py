"""OpenTelemetry, where it is asked for and installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from facerig.errors import MissingExtra

MODULES = ("trace", "sdk.trace", "exporter.otlp.proto.grpc.trace_exporter", "sdk.trace.export", "instrumentation.grpc")


def interceptors(on: bool) -> list[Any]:
    """gRPC interceptors that make a span of every call (exported as OTEL_EXPORTER_OTLP_ENDPOINT says)."""
    if not on:
        return []
    try:
        api, sdk, export, processor, grpc_hooks = (import_module(f"opentelemetry.{name}") for name in MODULES)
    except ImportError as error:
        raise MissingExtra("tracing", "trace", str(error)) from error
    provider = sdk.TracerProvider()
    provider.add_span_processor(processor.BatchSpanProcessor(export.OTLPSpanExporter()))
    api.set_tracer_provider(provider)
    return [grpc_hooks.aio_server_interceptor()]
