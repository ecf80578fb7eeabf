"""The built-in head: a neutral adult made by this package's code, cached as assets/heads/builtin.npz.

`python -m facerig.heads.builtin SOURCES` builds the assets anew from copies of ICT-FaceKit and MakeHuman; users need
neither. Lengths are in centimetres; the mouth is closed at rest.
"""

from __future__ import annotations

from functools import lru_cache

from facerig.errors import HeadError
from facerig.files import assets_folder
from facerig.heads.npz import head_from_npz
from facerig.mesh import Head

ASSET, SKIN, EYE = "builtin.npz", "builtin_skin.png", "builtin_eye.png"


@lru_cache(maxsize=1)
def builtin_head() -> Head:
    """The head from its asset."""
    return head_from_npz(asset(ASSET), ASSET)


def asset(name: str) -> bytes:
    """The bytes of one of the head's files: the mesh, or the pictures of its skin and eyes."""
    path = assets_folder() / "heads" / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise HeadError(f"{path}: cannot be read: {error.strerror or error}; install facerig again") from error
