"""Comma-separated text, both ways: quoting, encodings, ragged rows. Knows no faces."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from facerig.errors import CurvesError


def line(cells: Iterable[object]) -> str:
    """One row with quotes where a cell needs them."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(list(cells))
    return stream.getvalue()


def text_of(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CurvesError(f"{name}: not UTF-8 text (byte {error.start})") from None


def cells_of(data: bytes, name: str) -> list[list[str]]:
    """Rows of cells, all as long as the header; at least the header."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text_of(data, name), newline=""), skipinitialspace=True) if row]
    except csv.Error as error:
        raise CurvesError(f"{name}: not a CSV file ({error})") from None
    if not rows:
        raise CurvesError(f"{name}: the file is empty")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise CurvesError(f"{name}: row {number} has {len(row)} cells, the header has {len(rows[0])}")
    return rows


def numbers(rows: Iterable[Iterable[str]], name: str) -> NDArray[np.float64]:
    try:
        return np.array([[float(cell) for cell in row] for row in rows], np.float64)
    except ValueError as error:
        raise CurvesError(f"{name}: {error}") from None
