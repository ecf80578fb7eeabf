"""Comma-separated text, both ways: quoting, encodings, ragged rows. Knows no faces."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facerig.errors import CurvesError

BLOCK = 2048


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


@dataclass(frozen=True)
class Table:
    """A header, the first column as text, the others as numbers."""

    header: list[str]
    first: list[str]
    numbers: NDArray[np.float64]


def read_table(data: bytes, name: str) -> Table:
    """Rows as long as the header, converted block by block: a take of hours never stands in memory as cells of text."""
    rows = _rows(data, name)
    header = next(rows, None)
    if header is None:
        raise CurvesError(f"{name}: the file is empty")
    first: list[str] = []
    blocks = [np.zeros((0, len(header) - 1))]
    while block := list(islice(rows, BLOCK)):
        for number, row in enumerate(block, len(first) + 2):
            if len(row) != len(header):
                raise CurvesError(f"{name}: row {number} has {len(row)} cells, the header has {len(header)}")
        first += [row[0] for row in block]
        blocks.append(numbers((row[1:] for row in block), name).reshape(len(block), len(header) - 1))
    return Table(header, first, np.concatenate(blocks))


def _rows(data: bytes, name: str) -> Iterator[list[str]]:
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    try:
        yield from (row for row in csv.reader(text, skipinitialspace=True) if row)
    except csv.Error as error:
        raise CurvesError(f"{name}: not a CSV file ({error})") from None
    except UnicodeDecodeError as error:
        raise CurvesError(f"{name}: not UTF-8 text (byte {error.start})") from None


def numbers(rows: Iterable[Iterable[str]], name: str) -> NDArray[np.float64]:
    try:
        return np.array([[float(cell) for cell in row] for row in rows], np.float64)
    except ValueError as error:
        raise CurvesError(f"{name}: {error}") from None
