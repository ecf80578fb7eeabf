"""The build step: assets into the package, proto/ into modules and descriptors. Metadata stands in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PROTO = ROOT / "proto"
ASSETS = ROOT / "assets"


def sources(folder: Path, kind: str) -> list[str]:
    """Names below a folder, with slashes on every system: protoc takes them so, and `compile_protos` looks for them."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob(f"*.{kind}"))
    if not names:  # a package without its tables and messages would install, and fail at the first use
        raise SystemExit(f"setup.py: {folder}: got no *.{kind} file, accepted: the whole source tree; build in a "
                         "checkout or from the sdist, which hold assets/ and proto/ beside setup.py")
    return names


def compile_protos(target: Path) -> None:
    """proto/facerig -> Python modules under target/facerig/v1, and everything under proto/ -> one descriptor set there.

    Foreign packages (nvidia_ace.*, grpc.health.v1) become no modules of ours: a top-level `nvidia_ace` in our wheel
    would collide with NVIDIA's own, and two copies of a message in one descriptor pool are an error. The server reads
    them from the set into a pool of its own.
    """
    names = sources(PROTO, "proto")
    from grpc_tools import protoc

    ours = [name for name in names if name.startswith("facerig/")]
    include = [f"-I{PROTO}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    generated = target / "facerig" / "v1"
    generated.mkdir(parents=True, exist_ok=True)
    descriptors = ["--include_imports", f"--descriptor_set_out={generated / 'descriptors.binpb'}", *names]
    for arguments in ([f"--python_out={target}", f"--pyi_out={target}", *ours], descriptors):
        if protoc.main(["protoc", *include, *arguments]):
            raise SystemExit("setup.py: the proto files do not compile")


class BuildWithAssets(build_py):
    """build_py plus the two things that are not Python: tables and weights, and generated protobuf code."""

    def run(self) -> None:
        super().run()
        target = ROOT if self.editable_mode else Path(self.build_lib)
        compile_protos(target)
        if not self.editable_mode:
            sources(ASSETS, "csv")
            shutil.copytree(ASSETS, target / "facerig" / "assets", dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("README.md", "*.py", "__pycache__"))


if __name__ == "__main__":  # so that compile_protos can be imported and run alone
    setup(cmdclass={"build_py": BuildWithAssets})
