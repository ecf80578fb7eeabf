"""Build the assets: python -m facerig.heads.builtin [SOURCES, by default ../shared/data/heads by the repository]."""

from __future__ import annotations

import sys
from pathlib import Path

from facerig.files import REPOSITORY, assets_folder, write_file
from facerig.heads.builtin import ASSET, EYE, SKIN
from facerig.heads.builtin.build import build_all


def main(arguments: list[str]) -> None:
    sources = Path(arguments[0]) if arguments else REPOSITORY.parent / "shared" / "data" / "heads"
    for name, data in zip((ASSET, SKIN, EYE), build_all(sources), strict=True):
        path = write_file(assets_folder() / "heads" / name, data)
        sys.stdout.write(f"{path.name}: {len(data)} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1:])
