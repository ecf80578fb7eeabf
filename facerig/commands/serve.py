"""facerig serve: the streaming server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

# BLAS takes its thread count when numpy is first loaded; a pool of them would fight the engine for the cores.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with any of the options.", show_default=False)
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any option as NAME=VALUE; see --show-config.", show_default=False)
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Our protocol's port (52100); -1: off.", show_default=False)] = None,
    a2f_port: Annotated[int | None, typer.Option(help="NVIDIA's port (52000); -1: off.", show_default=False)] = None,
    http_port: Annotated[
        int | None, typer.Option(help="/metrics and health (52080); -1: off.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model by name or path.", show_default=False)] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the model runs: auto, cpu or cuda (auto).", show_default=False)
    ] = None,
    block: Annotated[int | None, typer.Option(help="Native frames computed in one go (1).", show_default=False)] = None,
    plaintext: Annotated[
        bool | None, typer.Option("--plaintext", help="Listen beyond loopback without TLS.", show_default=False)
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print every option and where it comes from.")
    ] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make an API key and its hash.")] = False,
    hash_key: Annotated[
        str | None, typer.Option("--hash-key", help="Print the hash of a key for the key file.", show_default=False)
    ] = None,
) -> None:
    """Serve our own protocol and NVIDIA Audio2Face-3D's over gRPC.

    Options come from --config, then FACERIG_SERVE_<OPTION>, then flags. SIGTERM drains: running streams finish or are
    handed over.
    """
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    if new_key or hash_key is not None:
        _print_key(hash_key)
        return
    from facerig.server.config import resolve

    flags = {"host": host, "port": port, "a2f_port": a2f_port, "http_port": http_port, "model": model,
             "device": device, "block": block, "plaintext": plaintext, **_pairs(set_ or [])}
    found = resolve(config, flags=flags)
    if show_config:
        print(found.show())
        return
    _run(found.config)


def _pairs(given: list[str]) -> dict[str, Any]:
    from facerig.errors import check_option

    for pair in given:
        check_option("--set", pair, "NAME=VALUE", "=" in pair)
    return {name.strip().replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in given)}


def _print_key(key: str | None) -> None:
    from facerig.server import security

    if key is None:
        key = security.new_key()
        print(f"key = {key}")
    print(f'sha256 = "{security.hash_key(key)}"')


def _run(config: Any) -> None:
    from facerig.server import app

    app.set_up_logging(config)
    app.run(config)
