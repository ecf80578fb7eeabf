"""What users install: the sdist, the wheel made of it, and a clean environment in which that does the main job."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path, PureWindowsPath
from types import ModuleType

import pytest

from facerig.server.config import read_toml
from facerig.train.corpora import texts

ROOT = Path(__file__).resolve().parent.parent
NOT_IN_SDIST = {".ci/run", ".gitignore"}
# Built or copied by hand from a checkout or the sdist; no module opens them.
NOT_IN_WHEEL = ("assets/README.md", "assets/heads/README.md", "assets/make_demo.py", "facerig/client/examples/",
                "facerig/server/deploy/", "unreal_bridge/client/", "unreal_bridge/godot/")
# Of the extra `dev`: what `make test` goes without. Voices for training; the sound card; a faster event loop.
NOT_PINNED = {"py-nanotts", "sounddevice", "uvloop"}


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: git is asked which files belong to the source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, made of what git knows (no stray file may come along), and the wheel made of that."""
    pytest.importorskip("build", reason="the package `build` is not installed")
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a clean environment, but for the dependencies, which it borrows from this one: nothing is fetched."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    ask = "import site; print(site.getsitepackages()[0])"
    found = subprocess.run([folder / "bin" / "python", "-c", ask], capture_output=True, text=True)
    site = Path(found.stdout.strip())
    zipfile.ZipFile(wheel).extractall(site)
    import numpy

    (site / "borrowed.pth").write_text(str(Path(numpy.__file__).parents[1]) + "\n")
    return site


def ran(site: Path, folder: Path, *words: str | Path) -> str:
    """What Python of that environment prints, started in an empty folder and apart from this one's PYTHONPATH."""
    python = site.parents[2] / "bin" / "python"
    done = subprocess.run([python, "-I", *words], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sdist_is_the_source(built: Path, tracked: set[str]) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {one.name.partition("/")[2] for one in archive if one.isfile()}
    assert tracked - names == NOT_IN_SDIST
    assert not [name for name in names - tracked if name not in ("PKG-INFO", "setup.cfg") and "egg-info/" not in name]


def test_top_level_is_pinned_and_assets_are_in(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"facerig", "exporters", "unreal_bridge", "facerig-0.1.0.dist-info"}
    assert "facerig/assets/rigs/arkit.csv" in names
    assert {f"{package}/py.typed" for package in ("facerig", "exporters", "unreal_bridge")} <= set(names)
    assert not [name for name in names if name.endswith(".proto") or "/tests/" in name]
    assert not [name for name in names if name.startswith("facerig/assets/") and name.endswith(".py")]


def test_each_file_beside_the_code_is_in_the_wheel(wheel: Path, tracked: set[str]) -> None:
    """Tables, texts and weights that modules open: a checkout always has them, the wheel what it was told to take."""
    ours = {name for name in tracked if name.startswith(("assets/", "facerig/", "exporters/", "unreal_bridge/"))
            and not name.startswith(NOT_IN_WHEEL)}
    held = {f"facerig/{name}" if name.startswith("assets/") else name for name in ours}
    assert not held - set(zipfile.ZipFile(wheel).namelist())


def test_installed_in_a_clean_environment_it_animates(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo.csv"
    told = ran(site, tmp_path, "-m", "facerig", "animate", ROOT / "assets" / "demo.wav", "-o", out, "--json")
    assert json.loads(told)["done"][0]["frames"] == out.read_text().count("\n") - 1
    assert ran(site, tmp_path, "-c", "import facerig; print(facerig.__file__)").startswith(str(site))


def test_installed_it_reads_what_training_and_benches_read(site: Path, tmp_path: Path) -> None:
    """The sentences that voices speak, and the clip that measures run on."""
    ask = ("import json, numpy as np\n"
           "from facerig.audio import read\n"
           "from facerig.files import assets_folder\n"
           "from facerig.train.corpora import texts\n"
           "said = [texts.sentence(one, np.random.default_rng(0)) for one in texts.languages()]\n"
           "print(json.dumps([texts.languages(), said, read(assets_folder() / 'demo.wav').rate]))")
    languages, said, rate = json.loads(ran(site, tmp_path, "-c", ask))
    assert (tuple(languages), rate) == (texts.languages(), 16_000)
    assert all(said)


# ---- setup.py ----------------------------------------------------------------------------------------------------


@pytest.fixture
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("facerig_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class WindowsFolder(PureWindowsPath):
    """proto/ with two files, as Windows spells them."""

    def rglob(self, pattern: str) -> list[PureWindowsPath]:
        return [PureWindowsPath(self, "facerig", "v1", "a.proto"), PureWindowsPath(self, "nvidia_ace", "b.proto")]


def test_messages_are_found_where_paths_have_backslashes(setup: ModuleType, monkeypatch: pytest.MonkeyPatch,
                                                         tmp_path: Path) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr("grpc_tools.protoc.main", lambda words: calls.append(words) or 0)
    monkeypatch.setattr(setup, "PROTO", WindowsFolder("C:/facerig/proto"))
    setup.compile_protos(tmp_path)
    assert [[word for word in words if word.endswith(".proto")] for words in calls] == [
        ["facerig/v1/a.proto"], ["facerig/v1/a.proto", "nvidia_ace/b.proto"]]


def test_a_tree_without_messages_is_no_package(setup: ModuleType, monkeypatch: pytest.MonkeyPatch,
                                               tmp_path: Path) -> None:
    monkeypatch.setattr(setup, "PROTO", tmp_path / "proto")
    with pytest.raises(SystemExit, match=r"proto: got no \*\.proto file, accepted: the whole source tree"):
        setup.compile_protos(tmp_path)


# ---- what the tests install ----------------------------------------------------------------------------------------


def names_of(requirements: list[str]) -> set[str]:
    """Package names, as registries compare them."""
    found = [re.match(r"[A-Za-z0-9._-]+", line.strip()) for line in requirements]
    return {re.sub(r"[-_.]+", "-", one.group()).lower() for one in found if one is not None}


def test_what_the_extra_dev_names_is_what_make_test_installs() -> None:
    """Else tests that need it skip in CI, each time, and nobody sees it."""
    project = read_toml(ROOT / "pyproject.toml")["project"]
    extras = {name: list(lines) for name, lines in project["optional-dependencies"].items()}

    def of(extra: str) -> set[str]:
        inner = [name for line in extras[extra] if line.startswith("facerig[") for name in line[8:-1].split(",")]
        return names_of([line for line in extras[extra] if not line.startswith("facerig[")]).union(*map(of, inner))

    lines = [line for name in ("light", "torch", "dev")
             for line in (ROOT / "docs" / "requirements" / f"{name}.txt").read_text("utf-8").splitlines()
             if not line.startswith(("#", "-r"))]
    assert of("trace") <= of("dev")
    assert of("dev") - names_of(lines) == NOT_PINNED
    assert names_of(lines) - names_of(project["dependencies"]) - of("dev") == {"setuptools"}
