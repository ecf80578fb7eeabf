"""The second half of `make demo`: pictures where a graphics library is there, and a list of where everything lies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from facerig.errors import InputError
from facerig.tool import finished, parser

WHAT = {
    ".csv": "Live Link Face CSV: Unreal, Blender (Faceit), Maya",
    ".json": "facerig JSON at 30 fps",
    ".png": "the curves under the waveform",
    ".mp4": "the face, with sound",
    ".glb": "the animated head: any 3D viewer",
}


def show(audio: str, out: Path) -> None:
    """Add the pictures that can be made here, then list what lies in the folder."""
    if not (out / "demo.json").is_file():
        raise InputError(f"{out}: holds no demo.json, accepted: the folder that `make demo` fills; run that")
    notes = [note for note in (_add(audio, out, kind) for kind in ("plot", "preview")) if note]
    print("\nYour animation:")
    for path in sorted(out.iterdir()):
        print(f"  {path}  {WHAT.get(path.suffix, '')}")
    for note in notes:
        print(f"  ({note})")
    print("\nNext: .venv/bin/facerig animate YOUR.wav -o YOUR.csv   or   .venv/bin/facerig --help")


def _add(audio: str, out: Path, kind: str) -> str:
    """A picture through the command of that name; a missing library is a note and no failure."""
    target = out / ("demo.png" if kind == "plot" else "demo.mp4")
    line = [sys.executable, "-m", "facerig", kind, str(out / "demo.json"), "--audio", audio, "-o", str(target)]
    done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return "" if done.returncode == 0 else f"no {target.name}: {done.stderr.strip().removeprefix('facerig: error: ')}"


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser("facerig.demo", __doc__)
    asked.add_argument("audio", metavar="AUDIO", help="what was animated")
    asked.add_argument("folder", type=Path, metavar="FOLDER", help="holds its demo.json; the pictures go there")
    options = asked.parse_args(arguments)
    return finished(lambda: show(options.audio, options.folder))


if __name__ == "__main__":
    sys.exit(main())
