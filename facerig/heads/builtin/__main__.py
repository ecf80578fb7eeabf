"""Builds the built-in head's assets anew from copies of ICT-FaceKit and MakeHuman: python -m facerig.heads.builtin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from facerig.errors import HeadError, extra_module
from facerig.files import REPOSITORY, assets_folder, write_file
from facerig.heads.builtin import ASSET, EYE, SKIN
from facerig.tool import finished, parser

PARTS = ("ict_facekit", "makehuman")


def build(sources: Path, out: Path) -> None:
    missing = [name for name in PARTS if not (sources / name).is_dir()]
    if missing:
        raise HeadError(f"{sources}: holds no folder {' and no folder '.join(missing)}, accepted: a folder that holds "
                        f"{' and '.join(PARTS)}, copies of the two heads; give it as SOURCES (docs/HEADS.md)")
    builder = extra_module("facerig.heads.builtin.build", "building the head", "fit")
    try:
        made = builder.build_all(sources)
    except OSError as error:
        raise HeadError(f"{error.filename or sources}: cannot be read: {error.strerror or error}") from error
    for name, data in zip((ASSET, SKIN, EYE), made, strict=True):
        path = write_file(out / name, data)
        print(f"{path.name}: {len(data)} bytes")


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.heads.builtin", __doc__)
    asked.add_argument("sources", nargs="?", type=Path, metavar="SOURCES",
                       default=REPOSITORY.parent / "shared" / "data" / "heads",
                       help=f"folder that holds {' and '.join(PARTS)} (default ../shared/data/heads by the repository)")
    asked.add_argument("--out", type=Path, default=assets_folder() / "heads",
                       help="folder for the three files (default: the assets, which are replaced)")
    options = asked.parse_args(arguments)
    return finished(lambda: build(options.sources, options.out))


if __name__ == "__main__":
    sys.exit(main())
