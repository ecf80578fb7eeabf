"""`facerig bench serve`: a server process, a client process, loopback, and more and more real-time streams.

For each number of streams: latency percentiles seen by the client, late frames, CPU and memory of the server. The
largest number with p99 <= 50 ms and no late frame is the capacity. The client (lean or grpc) runs on the same cores and
says what it took. $FACERIG_BENCH_{MODEL,BLOCK,RATE,STREAMS,SECONDS,ENGINES,CLIENT} change it. """

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facerig.errors import ServiceError, check_option
from facerig.server.config import ServerConfig

STREAMS = "1,8,16,24,28,32,40,48,56,64,96,128"
P99_MS = 50.0
# The lean one takes a third of the processor time of the other, which is grpcio's own; their latencies are the same.
CLIENTS = {"lean": "facerig.client.lean", "grpc": "facerig.client.load"}
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def bench_serve() -> dict[str, Any]:
    """The curve, and the largest number of streams that holds."""
    model, block, rate = (os.environ.get(f"FACERIG_BENCH_{name}", value)
                          for name, value in (("MODEL", "auto"), ("BLOCK", str(ServerConfig.block)), ("RATE", "24000")))
    seconds = float(os.environ.get("FACERIG_BENCH_SECONDS", "8"))
    client = os.environ.get("FACERIG_BENCH_CLIENT", "lean")
    check_option("FACERIG_BENCH_CLIENT", client, ", ".join(CLIENTS), client in CLIENTS)
    counts = [int(word) for word in os.environ.get("FACERIG_BENCH_STREAMS", STREAMS).split(",")]
    with server(model, int(block)) as (child, told):
        curve = _curve(child.pid, told, counts, seconds, int(rate))
    held = [row["streams"] for row in curve if row["holds"]]
    return {"model": told["model"], "block": int(block), "rate": int(rate), "engines": told["engines"],
            "client": client, "measured_capacity": told["capacity"],
            "streams_held": max(held, default=0), "curve": curve}


def _curve(pid: int, told: dict[str, Any], counts: list[int], seconds: float, rate: int) -> list[dict[str, Any]]:
    curve: list[dict[str, Any]] = []
    empty, failed = memory(pid), 0
    for count in counts:
        row = measure(pid, told, count, seconds, rate)
        row["mb_per_stream"] = round((row.pop("rss") - empty) / count / 2**20, 2)
        row["holds"] = row["p99_ms"] <= P99_MS and row["late"] == 0 and row["refused"] == row["missing"] == 0
        row["load"] = round(os.getloadavg()[0], 2)
        curve.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        failed = 0 if row["holds"] else failed + 1
        if failed == 2:
            break
    return curve


def measure(pid: int, told: dict[str, Any], count: int, seconds: float, rate: int) -> dict[str, Any]:
    """One point of the curve."""
    cpu, late = cpu_seconds(pid), late_frames(told)
    client = CLIENTS[os.environ.get("FACERIG_BENCH_CLIENT", "lean")]
    command = [sys.executable, "-m", client, "--server", f"127.0.0.1:{told['ports']['facerig']}",
               "--streams", str(count), "--seconds", str(seconds), "--rate", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        peak = 0
        while load.poll() is None:
            peak = max(peak, memory(pid))
            try:
                load.wait(0.25)
            except subprocess.TimeoutExpired:
                continue
        out = load.stdout.read() if load.stdout else ""
    if load.returncode:
        raise ServiceError(f"the load client ended with {load.returncode}")
    row: dict[str, Any] = json.loads(out)
    used = [(after - before) / (seconds + 1) for before, after in zip(cpu, cpu_seconds(pid), strict=True)]
    row["server_cpu"], row["engines_cpu"] = round(sum(used), 3), [round(one, 3) for one in used[1:]]
    row["late_at_server"] = late_frames(told) - late
    row["rss"] = peak
    return row


@contextmanager
def server(model: str, block: int) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`facerig serve` on free ports, admitting all."""
    settings = {"port": 0, "a2f_port": -1, "http_port": 0, "model": model, "block": block, "sessions": 1024,
                "pressure_ms": 60_000, "max_batch": 128, "engines": int(os.environ.get("FACERIG_BENCH_ENGINES", "-1"))}
    command = [sys.executable, "-m", "facerig", "serve", *(f"--set={name}={value}" for name, value in settings.items())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as measured:
        told = _told(measured)
        measured.terminate()
    command.append("--set=capacity=1024")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            yield child, {**_told(child), "capacity": told["capacity"]}
        finally:
            child.terminate()


def _told(child: subprocess.Popen[str]) -> dict[str, Any]:
    line = child.stdout.readline() if child.stdout else ""
    if not line:
        raise ServiceError("the server did not start; run facerig serve to see why")
    found: dict[str, Any] = json.loads(line)
    return found


def late_frames(told: dict[str, Any]) -> int:
    """The server's own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{told['ports']['http']}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("facerig_frames_late_total")))


def family(pid: int) -> list[int]:
    """A process and those that it started."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [pid, *(int(word) for text in lists for word in text.split())]


def cpu_seconds(pid: int) -> list[float]:
    """Of the server and of each of its engines."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return [(int(row[11]) + int(row[12])) / TICKS for row in fields]


def memory(pid: int) -> int:
    """Resident bytes of the server with its engines; what they share counts twice."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid)) * PAGE
