"""gRPC handlers for the services of foreign packages; the messages themselves are `facerig.protos`."""

from __future__ import annotations

from typing import Any

from facerig.protos import message, method, pool

__all__ = ["handlers", "message", "method", "pool"]


def handlers(service: str, methods: dict[str, Any]) -> Any:
    """A generic gRPC handler for these coroutines or async generators, by method name."""
    import grpc

    kinds = {(False, False): grpc.unary_unary_rpc_method_handler, (False, True): grpc.unary_stream_rpc_method_handler,
             (True, False): grpc.stream_unary_rpc_method_handler, (True, True): grpc.stream_stream_rpc_method_handler}
    made = {}
    for name, behaviour in methods.items():
        found = pool().FindServiceByName(service).FindMethodByName(name)
        _, request, response = method(service, name)
        kind = kinds[found.client_streaming, found.server_streaming]
        made[name] = kind(behaviour, request.FromString, response.SerializeToString)
    return grpc.method_handlers_generic_handler(service, made)
