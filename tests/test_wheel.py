"""What users install: the wheel's top level, and a clean environment in which it does the main job."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build", reason="the package `build` is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # of what git knows: a stray file in the tree must not make it into the wheel
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source], check=True,
                   capture_output=True)
    return next(folder.glob("*.whl"))


def test_top_level_is_pinned_and_assets_are_in(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"facerig", "exporters", "unreal_bridge", "facerig-0.1.0.dist-info"}
    assert "facerig/assets/rigs/arkit.csv" in names
    assert {f"{package}/py.typed" for package in ("facerig", "exporters", "unreal_bridge")} <= set(names)
    assert not [name for name in names if name.endswith((".wav", ".proto")) or "/tests/" in name]


def test_installed_in_a_clean_environment_it_animates(wheel: Path, tmp_path: Path) -> None:
    """Clean but for the dependencies, which it borrows from this environment: nothing is fetched."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    ask = "import site; print(site.getsitepackages()[0])"
    found = subprocess.run([python, "-c", ask], capture_output=True, text=True)
    site = Path(found.stdout.strip())
    zipfile.ZipFile(wheel).extractall(site)
    import numpy

    (site / "borrowed.pth").write_text(str(Path(numpy.__file__).parents[1]) + "\n")
    out = tmp_path / "demo.csv"
    done = subprocess.run([python, "-m", "facerig", "animate", ROOT / "assets" / "demo.wav", "-o", out, "--json"],
                          capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"][0]["frames"] == out.read_text().count("\n") - 1
    where = subprocess.run([python, "-c", "import facerig; print(facerig.__file__)"], capture_output=True, text=True,
                           cwd=tmp_path)
    assert where.stdout.startswith(str(site))
