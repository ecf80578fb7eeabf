"""The build step: assets into the package, proto/ into Python modules. All metadata stands in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def compile_protos(target: Path) -> None:
    """proto/facerig/v1/*.proto -> target/facerig/v1/*_pb2.py, and so on for each package under proto/."""
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    if not protos:
        return
    from grpc_tools import protoc

    include = Path(protoc.__file__).parent / "_proto"
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", *outputs, *protos]):
        raise SystemExit("setup.py: the proto files do not compile")


class BuildWithAssets(build_py):
    """build_py plus the two things that are not Python: tables and weights, and generated protobuf code."""

    def run(self) -> None:
        super().run()
        target = ROOT if self.editable_mode else Path(self.build_lib)
        compile_protos(target)
        if not self.editable_mode:
            shutil.copytree(ROOT / "assets", target / "facerig" / "assets", dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("*.wav", "README.md"))


setup(cmdclass={"build_py": BuildWithAssets})
