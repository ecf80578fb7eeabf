"""The minimal C++ client: built with Debian's grpc++, run against a server. Slow to build, so part of `make soak`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from server_kit import RATE, animator, noise, process

from facerig.server import outlet

EXAMPLE = Path(__file__).resolve().parent.parent / "facerig" / "client" / "examples"


@pytest.mark.soak
def test_minimal_cpp_client(tmp_path):
    for tool in ("cmake", "g++", "protoc", "grpc_cpp_plugin"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: see {EXAMPLE.name}/CMakeLists.txt")
    build, sound = tmp_path / "build", noise(1.0)
    subprocess.run(["cmake", "-S", EXAMPLE, "-B", build], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
    (tmp_path / "voice.pcm").write_bytes(sound.tobytes())
    with process() as (_, told):
        address = f"127.0.0.1:{told['ports']['facerig']}"
        done = subprocess.run([build / "minimal", address, tmp_path / "voice.pcm", str(RATE)], check=True,
                              capture_output=True, text=True, timeout=60)
    head, *lines = done.stdout.splitlines()
    values = np.array([line.split(",")[1:] for line in lines], np.float32)
    own = animator()
    names, convert = outlet.mapper("facerig", own.channels, "arkit")
    assert head.split(",")[1:] == list(names)
    assert np.array_equal(values, convert(own.animate(sound, RATE).values))
    assert "done" in done.stderr
