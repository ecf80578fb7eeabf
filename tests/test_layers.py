"""The house's shape: imports run one way, importing is light, public names and the wheel's top level are pinned."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# layer -> what it may import, besides itself and its own kind. docs/ARCHITECTURE.md draws it.
GROUND = {"errors", "files", "curves", "stage", "windows", "many", "controls", "mesh", "rig", "mapfile", "retarget",
          "phones", "turns", "matching"}
SOUND = {"resample", "features", "prosody", "audio", "lengths", "listening", "fake", "model", "post", "behaviour",
         "transcript", "emotion", "face", "asking"}
MAIN = GROUND | SOUND | {"assembly", "pipeline"}
FACES = {"heads"}
TOP = {"server", "client", "live", "preview", "train", "batch", "fit", "dialogue", "bench", "doctor", "console", "demo"}
SIDES = {"exporters", "unreal_bridge"}
MAY: dict[str, set[str]] = {
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(SOUND, GROUND | SOUND),
    "assembly": GROUND | SOUND,
    "pipeline": GROUND | SOUND | {"assembly"},
    "tool": {"errors"},
    "heads": GROUND | FACES | {"tool"},
    "fit": GROUND | FACES,
    "preview": GROUND | FACES,
    "exporters": GROUND - {"stage"},
    "unreal_bridge": GROUND - {"stage", "phones"},
    "protos": GROUND,
    "server": MAIN | {"protos"},
    "client": GROUND | {"audio", "resample", "protos", "tool"},
    "live": MAIN | SIDES | {"client"},
    "train": MAIN | FACES | {"console", "exporters", "preview", "tool"},
    "batch": MAIN | SIDES | {"console"},
    "dialogue": MAIN | SIDES | {"console"},
    "doctor": set(), "console": set(), "bench": MAIN | SIDES,
    "demo": MAIN | SIDES | FACES | {"preview", "console", "tool"},
    "commands": MAIN | FACES | TOP | SIDES, "cli": {"commands", "errors"}, "facerig": MAIN | SIDES,
}
HEAVY = {"torch": {"model", "train", "heads", "fit", "mesh"}, "grpc": {"server", "client"},
         "onnxruntime": {"model"}, "typer": {"commands", "cli"}}


def sources() -> Iterator[tuple[str, Path]]:
    """Each file of ours with its layer."""
    for package in ("facerig", "exporters", "unreal_bridge"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "scripts" in parts or parts[1] == "v1":
                continue
            own = package != "facerig" or parts == ("facerig", "__init__")
            layer = package if own else parts[1]
            yield ("cli" if layer == "__main__" else layer), path


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, lazily or not; not what only the type checker reads."""
    tree = ast.parse(path.read_text())
    guards = (node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    skipped = {id(inner) for guard in guards for inner in ast.walk(guard)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_run_one_way() -> None:
    wrong = []
    for layer, path in sources():
        for name in imported(path):
            head, *rest = name.split(".")
            target = rest[0] if head == "facerig" and rest and rest[0] not in ("__version__", "v1") else head
            if head not in ("facerig", *SIDES) or target in (layer, "facerig", "__version__"):
                continue
            if target not in MAY[layer] and not (layer == "commands" and target in TOP):
                wrong.append(f"{path.relative_to(ROOT)}: {layer} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_stay_in_their_layers() -> None:
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for layer, path in sources() for name in imported(path)
             for package, layers in HEAVY.items() if name.split(".")[0] == package and layer not in layers]
    assert not wrong, "\n".join(wrong)


def test_importing_is_light() -> None:
    heavy = ("torch", "grpc", "matplotlib", "onnxruntime", "scipy", "rich", "typer", "av")
    code = ("import sys, facerig, exporters, unreal_bridge, facerig.pipeline\n"
            f"print([name for name in {heavy} if name in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_importing_has_no_effects() -> None:
    code = ("import logging, os, threading, warnings; before = dict(os.environ), len(warnings.filters)\n"
            "import facerig, exporters, unreal_bridge, facerig.pipeline\n"
            "assert not logging.root.handlers and threading.active_count() == 1\n"
            "assert dict(os.environ) == before[0]")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_public_names_are_pinned() -> None:
    import facerig

    assert facerig.__all__ == ["Animator", "Curves", "FacerigError", "Head", "Session", "animate", "concat", "load",
                               "save"]
    for name in facerig.__all__:
        assert getattr(facerig, name).__module__.startswith("facerig")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = facerig.nonsense


def test_every_module_says_what_it_is() -> None:
    bare = [path.relative_to(ROOT) for _, path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not bare


def test_the_tree_names_no_machine_and_no_registry() -> None:
    """The repository speaks of the product alone."""
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT).stdout.split()
    banned = ["/work" + "/", "/ro" + "ot/", *(host + ".org" for host in ("pypi", "npmjs", "pythonhosted", "debian"))]
    kinds = {".py", ".md", ".toml", ".txt", ".sh", ".json", ".yaml", ".csv"}
    text = [name for name in files if Path(name).suffix in kinds]
    found = [f"{name}: {word}" for name in text if (ROOT / name).is_file()
             for word in banned if word in (ROOT / name).read_text(errors="replace")]
    assert not found, "\n".join(found)


def test_no_table_of_the_pages_is_torn() -> None:
    """A row after a blank line is shown as text, unless it is the head of a table."""
    torn = []
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        code, before = False, ""
        lines = [*page.read_text("utf-8").splitlines(), ""]
        for number, (line, after) in enumerate(itertools.pairwise(lines), 1):
            code ^= line.startswith("```")
            if not code and line.startswith("|") and not before.startswith("|") and not after.startswith("|-"):
                torn.append(f"{page.relative_to(ROOT)}:{number}")
            before = line
    assert not torn
