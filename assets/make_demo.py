"""Makes assets/demo.wav with flite's voice slt (free to use and to redistribute): python assets/make_demo.py

Committed with its result, so that `make demo` needs no speech program; run it again to change the text.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

TEXT = ("Hello! This is facerig. Bright brown bears may bump my big map, five fresh fish fly over the wave, "
        "and you choose whose shoes to use.")


def main() -> None:
    target = Path(__file__).with_name("demo.wav")
    subprocess.run(["flite", "-voice", "slt", "-t", TEXT, "-o", str(target)], check=True)
    print(target)


if __name__ == "__main__":
    main()
