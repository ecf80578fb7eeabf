"""Where a Head comes from: the built-in one, open heads, FLAME, any file with morph targets, the user's store."""

from __future__ import annotations

from facerig.mesh import Head


def load_head(name: str) -> Head:
    """A head by name (builtin, or one that was added) or by the path of a file or folder."""
    import os.path
    from pathlib import Path

    from facerig.heads.builtin import builtin_head
    from facerig.heads.store import stored, stored_names

    if name == "builtin":
        return builtin_head()
    if name not in stored_names() and os.path.exists(name):
        from facerig.heads.foreign import read_head

        return read_head(Path(name))[0]
    return stored(name)
