"""The light install: what works without any extra, and that everything else names the extra it needs."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import exporters
from facerig.curves import Curves
from facerig.files import write_file
from facerig.rig import rig
from facerig.transcript.engines import espeak_library

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("av", "matplotlib", "onnx", "onnxscript", "PIL", "pocketsphinx", "prometheus_client", "pxr", "pyrender",
          "ray", "scipy", "smplx", "sounddevice", "torch", "trimesh", "ufbx", "websockets")
RUN = ("import json, sys\n"
       f"sys.modules.update(dict.fromkeys({EXTRAS!r}))\n"  # None there: the import fails as if it were not installed
       "from facerig import cli\n"
       "print(json.dumps([cli.run(words) for words in json.loads(sys.argv[1])]))")
MISSING = 4

OWN_VOICE = f"sh -c 'cp {ROOT / 'assets' / 'demo.wav'} $1' {{text}} {{wav}}"
SPEAKS = bool(espeak_library() or shutil.which("flite"))

# what is asked, and the exit code: 0 or the one that means an extra is missing
ASKED = [
    (["animate", "VOICE", "-o", "a.csv"], 0),
    (["animate", "VOICE", "-o", "a.json", "--emotion", "auto"], 0),
    (["emotions", "VOICE", "-o", "a.heard.json"], 0),
    (["export", "TAKE", "-o", "b.fbx"], 0),
    (["export", "TAKE", "-o", "b.glb", "--head", "builtin"], 0),
    (["export", "TAKE", "-o", "b.anim"], 0),
    (["convert", "TAKE", "b.json"], 0),
    (["say", "hi", "-o", "s.wav", "--model", "fake"], 0 if SPEAKS else 7),
    (["say", "hi", "-o", "t.wav", "--command", OWN_VOICE], 0),
    (["info"], 0),
    (["doctor"], 0),
    (["style", "list"], 0),
    (["serve", "--show-config"], 0),
    (["preview", "TAKE", "-o", "c.png"], MISSING),
    (["preview", "TAKE", "-o", "c.mp4"], MISSING),
    (["plot", "TAKE", "-o", "c.png"], MISSING),
    (["keys", "TAKE", "-o", "c.anim"], MISSING),
    (["export", "TAKE", "-o", "c.usda"], MISSING),
    (["animate", "VOICE", "-o", "c.csv", "--model", "weights.safetensors"], 6),
    (["live", "VOICE", "--to", "vts://127.0.0.1"], MISSING),
    (["live", "mic", "--to", "livelink://127.0.0.1"], MISSING),
    (["convert", "voice.fbx", "c.csv"], MISSING),
]


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[int], str, Path]:
    folder = tmp_path_factory.mktemp("light")
    take = folder / "take.npz"
    names = rig("facerig-full").names
    curves = Curves(names, 60, np.zeros((30, len(names)), np.float32))
    write_file(take, exporters.export(curves, take))
    write_file(folder / "voice.fbx", exporters.export(curves, folder / "voice.fbx"))
    voice = ROOT / "assets" / "demo.wav"
    words = [[{"VOICE": str(voice), "TAKE": str(take)}.get(word, word) for word in asked] for asked, _ in ASKED]
    ran = subprocess.run([sys.executable, "-c", RUN, json.dumps(words)], capture_output=True, text=True, cwd=folder,
                         env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)})
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]), ran.stderr, folder


def test_each_command_works_or_names_the_extra(codes: tuple[list[int], str, Path]) -> None:
    found, errors, _ = codes
    wrong = [(asked, code, got) for (asked, code), got in zip(ASKED, found, strict=True) if got != code]
    assert not wrong, f"{wrong}\n{errors}"
    told = [line for line in errors.splitlines() if line.startswith("facerig: error: ")]
    assert sum('pip install "facerig[' in line for line in told) == [code for _, code in ASKED].count(MISSING)
    assert "Traceback" not in errors


def test_what_needs_an_extra_leaves_nothing_behind(codes: tuple[list[int], str, Path]) -> None:
    assert not list(codes[2].glob("c.*"))


def test_every_extra_that_code_names_is_there() -> None:
    named: dict[str, str] = {}
    for package in ("facerig", "exporters", "unreal_bridge"):
        for path in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                place = {"MissingExtra": 1, "extra_module": 2}.get(getattr(getattr(call, "func", None), "id", ""))
                extra = call.args[place] if isinstance(call, ast.Call) and place else None
                if isinstance(extra, ast.Constant) and extra.value:
                    named[str(extra.value)] = path.name
    table = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert len(named) > 5
    assert not {extra: name for extra, name in named.items() if f"\n{extra} = [" not in table}
