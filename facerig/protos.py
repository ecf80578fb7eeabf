"""Messages of foreign packages (NVIDIA's, gRPC's health), from a descriptor pool of our own.

NVIDIA's client wheel and grpcio-health-checking register the same full names in protobuf's default pool, where a second
copy is an error. Ours live apart, so both can be imported in one process. Knows no gRPC and no service's meaning.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from facerig.errors import ServiceError


@lru_cache(maxsize=1)
def pool() -> descriptor_pool.DescriptorPool:
    """A pool with everything that proto/ defines."""
    path = Path(__file__).parent / "v1" / "descriptors.binpb"
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    except OSError as error:
        raise ServiceError(f"{path.name}: the compiled protocol is missing; install facerig anew; in a checkout, which "
                           "holds none until it is built: pip install -e . (or make demo)") from error
    own = descriptor_pool.DescriptorPool()
    for file in files.file:  # protoc writes dependencies first
        own.AddSerializedFile(file.SerializeToString())
    return own


@cache
def message(name: str) -> Any:
    """The class of the message with that full name."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def method(service: str, name: str) -> tuple[str, Any, Any]:
    """Path, request class and response class of a method."""
    found = pool().FindServiceByName(service).FindMethodByName(name)
    return f"/{service}/{name}", message(found.input_type.full_name), message(found.output_type.full_name)
