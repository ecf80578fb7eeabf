"""The Godot script against facerig's own VMC target, in a real headless Godot where one is installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from bridge_samples import pose

from unreal_bridge.targets import make

FOLDER = Path(__file__).resolve().parent.parent / "unreal_bridge" / "godot"


def test_godot_reads_every_shape_and_the_head(tmp_path: Path) -> None:
    godot = shutil.which("godot3-server")
    if godot is None:
        pytest.skip("godot3-server is not installed (apt-get install godot3-server)")
    for file in FOLDER.iterdir():
        shutil.copy(file, tmp_path)  # Godot writes beside the project
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    command = [godot, "--path", str(tmp_path), "-s", "check_vmc.gd", str(free), "3"]
    ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    lines: list[str] = []
    assert ran.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(ran.stdout or []))
    reader.start()
    target = make(f"vmc://127.0.0.1:{free}?names=arkit")
    sent, wait = pose(jawOpen=0.625, jawLeft=0.25, headYaw=0.2), threading.Event()
    for _ in range(1500):  # 30 s
        if ran.poll() is not None:
            break
        target.send(sent)
        wait.wait(0.02)
    ran.kill()
    ran.wait(5)
    reader.join(5)
    target.close()
    ran.stdout.close()
    results = [line for line in lines if line.startswith("{")]
    assert results, "".join(lines)
    read = json.loads(results[0])
    assert len(read["weights"]) == 52
    assert {name: value for name, value in read["weights"].items() if value} == {"jawOpen": 0.625, "jawLeft": 0.25}
    assert read["bad"] == 0
    assert read["turns"]["Head"] == pytest.approx(sent.face().head.quaternion(), abs=1e-5)
