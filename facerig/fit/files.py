"""Files of tracks -> [T, N, 2 or 3]: numpy arrays, CSV, folders of OBJ files. Pictures' y is turned upwards here."""

from __future__ import annotations

import io
import os.path
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facerig.errors import InputError, extra_module
from facerig.heads.obj import read_obj

Doubles = NDArray[np.float64]
MAX_BYTES = 2 << 30


def read_track(path: Path, y_down: bool = False) -> Doubles:
    """Points over time; NaN stands for a missing point."""
    try:
        track = _read(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if track.ndim != 3 or track.shape[2] not in (2, 3) or not len(track):
        raise InputError(f"{path.name}: shape {track.shape}, accepted: [frames, points, 2 or 3]")
    if np.isinf(track).any():
        raise InputError(f"{path.name}: holds an infinity; a missing point is NaN")
    if y_down:
        track = track * np.array([1.0, -1.0, -1.0][: track.shape[2]])
    return track


def _read(path: Path) -> Doubles:
    if path.is_dir():
        return _obj_sequence(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path.name}: {path.stat().st_size >> 20} MiB, accepted: up to {MAX_BYTES >> 20} MiB")
    return _array(path)


def read_masks(path: Path) -> NDArray[np.bool_]:
    """Masks of the head [T, H, W]: an array, or a folder of pictures in the order of their names (bright: the head)."""
    if os.path.isdir(path):
        masks = _pictures(path)
    else:
        try:
            loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                with loaded:
                    loaded = _largest(loaded)
            masks = np.asarray(loaded)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path.name}: not an array of masks ({error})") from error
    if masks.ndim != 3 or not len(masks):
        raise InputError(f"{path.name}: shape {masks.shape}, accepted: [frames, height, width]")
    return np.asarray(masks > 127 if masks.dtype == np.uint8 and masks.max(initial=0) > 1 else masks > 0)


def _pictures(path: Path) -> NDArray[np.uint8]:
    image = extra_module("PIL.Image", "facerig fit --silhouettes", "preview")
    files = _in_order(path, (".png", ".jpg", ".jpeg"))
    if not files:
        raise InputError(f"{path}: no .png or .jpg files")
    try:
        masks = [np.asarray(image.open(file).convert("L")) for file in files]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: a picture that cannot be read ({error})") from error
    if len({mask.shape for mask in masks}) != 1:
        raise InputError(f"{path}: pictures of different sizes")
    return np.stack(masks)


def _in_order(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """By name, where numbers count as such: frame2 stands before frame10."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes]
    return sorted(files, key=lambda file: ([int(part) if number % 2 else part for number, part in
                                            enumerate(re.split(r"(\d+)", file.stem.lower()))], file.name))


def _array(path: Path) -> Doubles:
    try:
        if path.suffix.lower() == ".csv":
            return _from_csv(path)
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return _differences(loaded) if "first" in loaded.files else np.asarray(_largest(loaded), np.float64)
        array = np.asarray(loaded, np.float64)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{path.name}: not an array of points ({error})") from error
    return array.reshape(len(array), -1, 3) if array.ndim == 2 and array.shape[1] % 3 == 0 else array


def _largest(arrays: np.lib.npyio.NpzFile) -> NDArray[np.float64]:
    three = {name: arrays[name] for name in arrays.files if arrays[name].ndim == 3}
    if not three:
        raise ValueError("no array [frames, points, 2 or 3]")
    return max(three.values(), key=lambda a: a.size)


def _differences(arrays: np.lib.npyio.NpzFile) -> Doubles:
    """Small integers: the first frame, then differences; and the length of one step where it is given."""
    steps = np.concatenate([arrays["first"][None].astype(np.int64), arrays["delta"].astype(np.int64)])
    track: Doubles = np.cumsum(steps, axis=0) * float(arrays["quantum"] if "quantum" in arrays.files else 1.0)
    return track


def _from_csv(path: Path) -> Doubles:
    """Rows of x, y, z (or x, y where their count does not divide by 3) a frame; a heading row is skipped."""
    rows = np.genfromtxt(io.StringIO(path.read_text(encoding="utf-8")), delimiter=",")
    rows = np.atleast_2d(rows)
    rows = rows[1:] if np.isnan(rows[0]).all() else rows
    width = 3 if rows.shape[1] % 3 == 0 else 2
    if rows.shape[1] % width:
        raise ValueError(f"{rows.shape[1]} columns")
    table: Doubles = rows.reshape(len(rows), -1, width)
    return table


def _obj_sequence(path: Path) -> Doubles:
    files = _in_order(path, (".obj",))
    if not files:
        raise InputError(f"{path}: no OBJ files")
    meshes = [read_obj(file).positions for file in files]
    if len({mesh.shape for mesh in meshes}) != 1:
        raise InputError(f"{path}: OBJ files with different vertex counts")
    return np.stack(meshes).astype(np.float64)
