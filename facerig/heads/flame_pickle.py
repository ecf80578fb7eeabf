"""A FLAME model file (.pkl of 2017-2023, .npz) -> plain arrays, without running anything that the pickle asks for.

The files hold numpy arrays, scipy sparse matrices and, in older ones, chumpy objects. The unpickler below knows a fixed
list of names; chumpy's are empty shells whose state is read as data. Every other name is refused, so a pickle cannot
reach os.system or any other callable.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerig.errors import HeadError
from facerig.heads.npz import DAMAGE

MAX_BYTES = 1 << 30

# What a FLAME pickle may name. Reconstruction of arrays and sparse matrices, and containers; nothing that opens,
# imports, evaluates or calls back.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict"), ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"), ("__builtin__", "object"), ("builtins", "object"), ("_codecs", "encode"),
    ("__builtin__", "unicode"), ("__builtin__", "str"), ("__builtin__", "set"), ("builtins", "set"),
}


class Shell:
    """Stands for any chumpy or scipy.sparse class: keeps its state as data and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state[0] | (state[1] or {}) if isinstance(state, tuple) and isinstance(state[0], dict) else \
            state if isinstance(state, dict) else {"value": state}


def _shell_of(module: str) -> bool:
    return module.split(".")[0] == "chumpy" or module.startswith("scipy.sparse")


class RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if _shell_of(module):
            return Shell
        if (module, name) not in ALLOWED:
            raise HeadError(f"the pickle names {module}.{name}, which a FLAME file does not need; it was not loaded")
        if name == "unicode":
            return str
        if module in ("copy_reg", "copyreg"):
            return _reconstructed
        return super().find_class({"__builtin__": "builtins"}.get(module, module), name)


def _reconstructed(kind: Any, base: Any, state: Any) -> Any:
    """Python 2's way to make an object: a shell for chumpy, else refused."""
    if kind is Shell:
        return Shell()
    raise HeadError(f"the pickle builds a {kind!r}, accepted: arrays and chumpy arrays")


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The model's arrays by name, sparse ones made dense."""
    if path.stat().st_size > MAX_BYTES:
        raise HeadError(f"{path.name}: {path.stat().st_size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")
    data = path.read_bytes()
    raw = _from_npz(data, path.name) if data[:2] == b"PK" else _from_pickle(data, path.name)
    return {str(key): array for key, value in raw.items() if (array := plain(value)) is not None}


def _from_npz(data: bytes, name: str) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except DAMAGE as error:
        raise HeadError(f"{name}: not an .npz of plain arrays ({error})") from error


def _from_pickle(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = RestrictedUnpickler(io.BytesIO(data), encoding="latin1").load()
    except HeadError as error:
        raise HeadError(f"{name}: {error}") from None
    except Exception as error:  # a broken pickle raises whatever its opcodes stumble over
        raise HeadError(f"{name}: not a FLAME pickle ({type(error).__name__}: {error})") from error
    if not isinstance(value, dict):
        raise HeadError(f"{name}: holds a {type(value).__name__}, accepted: a dict of arrays")
    return value


def plain(value: Any) -> NDArray[Any] | None:
    """An array from what the file holds; None for text and other things that are no numbers."""
    if isinstance(value, np.ndarray):
        return value if value.dtype != object else None
    if isinstance(value, int | float | np.number):
        return np.asarray(value)
    if isinstance(value, Shell):
        return _dense(value.state)
    return None


def _dense(state: dict[str, Any]) -> NDArray[Any] | None:
    """A chumpy array keeps numbers in `x`, or a selection of another in `a` and `idxs`; a sparse matrix a triple."""
    if isinstance(state.get("x"), np.ndarray):
        return np.asarray(state["x"])
    if "a" in state and "idxs" in state and (base := plain(state["a"])) is not None:
        picked: NDArray[Any] = np.asarray(base).ravel()[np.asarray(state["idxs"])]
        shape = state.get("preferred_shape")
        return picked.reshape(shape) if shape is not None else picked
    shape = state.get("_shape") or state.get("shape")
    if {"data", "indices", "indptr"} <= state.keys() and shape is not None:
        return _from_compressed(state, (int(shape[0]), int(shape[1])))
    if {"data", "row", "col"} <= state.keys() and shape is not None:
        dense = np.zeros((int(shape[0]), int(shape[1])))
        np.add.at(dense, (state["row"], state["col"]), state["data"])
        return dense
    return None


def _from_compressed(state: dict[str, Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Rows or columns, whichever the pointers count."""
    if shape[0] * shape[1] > 1 << 27:
        raise HeadError(f"a sparse matrix of {shape[0]} x {shape[1]}, accepted: FLAME's")
    pointers = np.asarray(state["indptr"])
    by_row = len(pointers) == shape[0] + 1 and (len(pointers) != shape[1] + 1 or shape[0] == shape[1])
    outer = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
    dense = np.zeros(shape)
    inner = np.asarray(state["indices"])
    np.add.at(dense, (outer, inner) if by_row else (inner, outer), np.asarray(state["data"]))
    return dense
