"""What an operator touches: config, metrics, health over HTTP, logs, and the files of deploy/."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from server_kit import END, animate, audio, channel, header, noise, process, run, said, serving, until
from typer.testing import CliRunner

import facerig
from facerig.cli import application
from facerig.errors import FacerigError, OptionError
from facerig.server import app, config, logs
from facerig.server.bench import bench_serve
from facerig.server.config import ServerConfig, resolve
from facerig.server.metrics import TABLE
from facerig.v1 import animation_pb2 as pb

TINY = {"sessions": 4, "max_batch": 4, "capacity": 4, "http_port": 0}
DEPLOY = Path(facerig.__file__).parent / "server" / "deploy"


async def get(port, path="/metrics", method="GET"):
    def fetch():
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.get_running_loop().run_in_executor(None, fetch)


def values(text):
    """The page through Prometheus's own parser: sample name and labels -> value."""
    return {(sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples}


def test_metrics_count_what_happened():
    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            await said(animate(link, iter([header(mode=pb.Pacing.MODE_REALTIME), audio(noise(0.5)), END])))
            await said(animate(link, iter([END])))
            call = animate(link, None)
            await call.write(header(mode=pb.Pacing.MODE_REALTIME))
            await call.read()
            await asyncio.sleep(0.1)
            during = values((await get(server.ports["http"]))[1])
            call.cancel()
            await until(lambda: not server.house.guests)
            return during, values((await get(server.ports["http"]))[1])

    during, after = run(work())
    assert during["facerig_sessions", ("front", "facerig")] == 1
    assert after["facerig_sessions", ("front", "facerig")] == 0
    assert after["facerig_frames_total", ("front", "facerig")] == 30
    assert after["facerig_audio_seconds_total",] == pytest.approx(0.5)
    assert after["facerig_errors_total", ("cause", "order")] == 1
    assert after["facerig_latency_seconds_count",] == 30
    assert after["facerig_step_seconds_count",] == after["facerig_batch_streams_count",] > 10
    assert after["facerig_capacity",] == 4
    assert after["facerig_serving",] == 1
    names = {name for name, *_ in after}
    assert all(any(found.startswith(name) for found in names) for _, _, name, *_ in TABLE)


def test_health_over_http():
    async def work():
        async with serving(**TINY) as server:
            port = server.ports["http"]
            found = [await get(port, path) for path in ("/v1/health/live", "/v1/health/ready", "/etc/passwd", "/")]
            found.append(await get(port, "/metrics", "POST"))
            server.house.draining = True
            return [*found, await get(port, "/v1/health/ready"), await get(port, "/v1/health/live")]

    found = run(work())
    codes = [code for code, _ in found]
    assert codes == [200, 200, 404, 404, 405, 503, 200]
    assert json.loads(found[1][1])["ready"] is True


def test_the_operators_port_cuts_slow_and_rude_peers(monkeypatch):
    from facerig.server import http

    monkeypatch.setattr(http, "HEAD_WAIT", 0.2)

    async def work():
        async with serving(**TINY) as server:
            ends = []
            for data in (b"GET /metrics HTTP/1.1\r\n", b"x" * 20_000, b"\r\n\r\n", b"\xff\xfe\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["http"])
                writer.write(data)
                ends.append(await asyncio.wait_for(reader.read(), 10))
                writer.close()
            return ends, (await get(server.ports["http"]))[0]

    ends, after = run(work())
    assert after == 200
    assert all(b"facerig_" not in end for end in ends)


def test_not_ready_before_it_is_warm():
    async def work():
        server = app.Server(ServerConfig(port=0, a2f_port=-1, http_port=-1, model="fake", sessions=4))
        seen = []
        warm_up = server.worker.warm_up
        server.worker.warm_up = lambda leave: (seen.append((server.house.ready, bool(server.ports))), warm_up(leave))
        await server.start()
        seen.append((server.house.ready, server.house.capacity > 0))
        await server.stop(0)
        return seen

    assert run(work()) == [(False, True), (True, True)]  # it listens, and says NOT_SERVING, while it warms up


# ---- config --------------------------------------------------------------------------------------------------------


def test_file_environment_and_flags_override_each_other(tmp_path):
    file = tmp_path / "serve.toml"
    file.write_text('[serve]\nport = 1\nblock = 3\nidle_seconds = 7\n')
    found = resolve(
        file, {"FACERIG_SERVE_BLOCK": "4", "FACERIG_SERVE_PLAINTEXT": "yes", "HOME": "/"}, {"block": 5, "host": None}
    )
    assert (found.config.port, found.config.block, found.config.idle_seconds, found.config.plaintext) == (
        1,
        5,
        7.0,
        True,
    )
    assert found.origin == {"port": f"file {file}", "idle_seconds": f"file {file}", "plaintext": "environment",
                            "block": "flag"}
    shown = found.show()
    assert "block = 5" in shown
    assert "# flag" in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert resolve(again, {}).config == found.config  # what is shown can be used


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("port = 99999999\n", {}),
        ("colour = 1\n", {}),
        ('block = "many"\n', {}),
        ("block = true\n", {}),
        ("block = 0\n", {}),
        ("nonsense", {}),
        ("", {"FACERIG_SERVE_COLOUR": "1"}),
        ("", {"FACERIG_SERVE_BLOCK": "x"}),
        ("", {"FACERIG_SERVE_PLAINTEXT": "perhaps"}),
        ('pacing = "fast"\n', {}),
        ("a2f_fps = 25\n", {}),
        ('tls_cert = "a"\n', {}),
        ("api_keys = 5\n", {}),
        ("serve = 3\n", {}),
        ("[[serve]]\nport = 1\n", {}),
        ('api_keys = "keys.toml"\n[serve]\nport = 1\n', {}),
        ("[serve]\nport = 1\n[server]\nport = 2\n", {}),
        ("port = 5000\na2f_port = 5000\n", {}),
        ("port = 5000\nhttp_port = 5000\n", {}),
        ("chunk_bytes = 16383\n", {}),
    ],
)
def test_wrong_options_are_one_line(tmp_path, text, environment):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(FacerigError) as error:
        resolve(file, environment)
    assert "\n" not in str(error.value)


def cli(*words):
    return CliRunner().invoke(application(), list(words))


def test_the_command_shows_its_config_and_makes_keys(monkeypatch):
    monkeypatch.setenv("FACERIG_SERVE_SESSIONS", "17")
    shown = cli("serve", "--port", "7", "--set", "idle-seconds=3", "--show-config")
    assert shown.exit_code == 0
    for part in ("port = 7", "sessions = 17", "idle_seconds = 3.0", "# environment", "# flag", "# default"):
        assert part in shown.output
    made = cli("serve", "--new-key").output.split()
    assert cli("serve", "--hash-key", made[2]).output.strip() == f"sha256 = {made[-1]}"
    assert isinstance(cli("serve", "--set", "nonsense").exception, OptionError)


def test_a_port_that_is_taken_is_said_in_a_line():
    async def work():
        async with serving(**TINY) as server:
            other = app.Server(ServerConfig(port=server.ports["facerig"], a2f_port=-1, http_port=-1, model="fake"))
            with pytest.raises(FacerigError, match="cannot listen"):
                await other.start()

    run(work())


def test_why_an_address_cannot_be_listened_on():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "facerig", "serve", "--set=model=fake", "--port=0", "--a2f-port=-1"]
        for options, said_ in (([f"--http-port={port}"], "http_port"),
                               (["--http-port=-1", f"--port={port}"], os.strerror(errno.EADDRINUSE)),
                               (["--http-port=-1", "--host=192.0.2.1", "--plaintext"],
                                os.strerror(errno.EADDRNOTAVAIL))):
            ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
            *_, line = ended.stderr.splitlines()
            assert (ended.returncode, line.startswith("facerig: error: "), said_ in line) == (7, True, True), line
            assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6_with_and_without_brackets(host):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")

    async def work():
        async with serving(**TINY, host=host) as server:
            async with grpc.aio.insecure_channel(f"[::1]:{server.ports['facerig']}") as link:
                code = (await said(animate(link, iter([header(), audio(noise(0.1)), END]))))[1]
            reader, writer = await asyncio.open_connection("::1", server.ports["http"])
            writer.write(b"GET /v1/health/live HTTP/1.1\r\n\r\n")
            page = await reader.read()
            writer.close()
            return server.config.local, code, page[:15]

    assert run(work()) == (True, grpc.StatusCode.OK, b"HTTP/1.1 200 OK")


def test_everywhere_is_ipv4_and_ipv6_on_all_ports():
    if not socket.has_dualstack_ipv6():
        pytest.skip("no socket here hears IPv4 and IPv6")

    async def work():
        async with serving(**TINY, host="::", plaintext=True) as server:
            pages = []
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, server.ports["http"])
                writer.write(b"GET /v1/health/live HTTP/1.1\r\n\r\n")
                pages.append((await reader.read())[:15])
                writer.close()
            return pages

    assert run(work()) == [b"HTTP/1.1 200 OK"] * 2


def test_windows_has_one_process(monkeypatch):
    monkeypatch.setattr(config, "LANES", False)
    monkeypatch.setattr(config, "cores", lambda: 8)
    assert ServerConfig().lanes("onnx cpu") == 0
    with pytest.raises(OptionError, match="Windows"):
        ServerConfig(engines=2)


def test_log_lines_are_json_without_secrets(tmp_path):
    log = tmp_path / "server.log"
    with process(f"--set=log_file={log}") as (child, told):
        async def work():
            async with channel(told["ports"]["facerig"]) as link:
                return await said(animate(link, iter([header(), audio(noise(0.2)), END])))

        assert run(work())[1] is grpc.StatusCode.OK
        child.terminate()
        assert child.wait(60) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["serving", "stream ended", "draining"]
    assert lines[1]["frames"] == 12
    assert lines[1]["audio_seconds"] == 0.2


def test_bench_serve_returns_its_figures(monkeypatch, capfd):
    for name, value in (("MODEL", "fake"), ("STREAMS", "2"), ("SECONDS", "1.5")):
        monkeypatch.setenv(f"FACERIG_BENCH_{name}", value)
    found = bench_serve()
    (row,) = found["curve"]
    assert row["frames"] == 2 * 90
    assert row["missing"] == row["refused"] == 0
    assert row["p50_ms"] > 0
    assert {"p95_ms", "p99_ms", "late", "server_cpu", "mb_per_stream", "header_p50_ms", "first_frame_p50_ms"} <= set(
        row
    )
    assert found["measured_capacity"] > 0


# ---- deploy/ -------------------------------------------------------------------------------------------------------


def test_compose_and_prometheus_fit_together():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert {"facerig", "prometheus", "grafana"} <= set(services)
    scrape = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"][0]
    port = str(ServerConfig.http_port)
    assert scrape["static_configs"][0]["targets"] == [f"facerig:{port}"]
    for service in services.values():
        for mount in service.get("volumes", []):
            if mount.startswith("./"):
                assert (DEPLOY / mount.split(":")[0]).exists(), mount


def test_the_dashboard_asks_for_metrics_that_there_are():
    board = json.loads((DEPLOY / "grafana" / "facerig.json").read_text())
    known = {name for _, _, name, *_ in TABLE}
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) >= 8
    for query in queries:
        asked = {word for word in query.replace("(", " ").replace(")", " ").replace("[", " ").replace("{", " ").split()
                 if word.startswith("facerig_")}
        assert asked
        for word in asked:
            assert any(
                word in (name, f"{name}_total", f"{name}_bucket", f"{name}_sum", f"{name}_count") for name in known
            ), word


def test_environment_in_the_deployments_is_known():
    names = {f"FACERIG_SERVE_{name.upper()}" for name in ServerConfig.__dataclass_fields__}
    for file in [DEPLOY / "compose.yaml", *(DEPLOY / "helm").rglob("*.yaml"), *DEPLOY.glob("Dockerfile*")]:
        found = set(re.findall(r"FACERIG_SERVE_[A-Z0-9_]+", file.read_text()))
        assert found <= names, file


def test_helm_chart_by_hand():
    """Where helm is installed it renders the chart; elsewhere the values and the chart's card are at least YAML."""
    chart = DEPLOY / "helm"
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["apiVersion"] == "v2"
    values_ = yaml.safe_load((chart / "values.yaml").read_text())
    assert values_["drainSeconds"] < values_["terminationGraceSeconds"]
    if shutil.which("helm"):
        out = subprocess.run(["helm", "template", "x", str(chart)], check=True, capture_output=True, text=True).stdout
        kinds = {part["kind"] for part in yaml.safe_load_all(out) if part}
        assert {"Deployment", "Service", "HorizontalPodAutoscaler", "ConfigMap"} <= kinds




def test_a_log_that_nobody_reads_holds_up_nobody() -> None:
    """A pipe that is full: lines are dropped and counted, the caller goes on, and what waits is written when read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4_096)  # full
    os.set_blocking(writing, True)
    with open(writing, "w", encoding="utf-8") as pipe:
        handler = logs.Patient(pipe, waiting=16)
        for number in range(40):
            handler.handle(logging.LogRecord("x", logging.INFO, "", 0, f"line {number}", (), None))
        handler.flush(0.01)  # returns although nothing moves
        assert 40 - 17 <= handler.lost <= 40 - 16
        read = b""
        while b"line 15\n" not in read:
            read += os.read(reading, 65_536)
        handler.flush(10)
    assert b"line 0\n" in read
    os.close(reading)
