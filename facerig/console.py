"""How commands talk: people read stderr (bars, tables, notes), programs read stdout (paths, JSON). Knows no command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


NARROWEST = 8  # letters that a column keeps beside others that are whole
UNBOUNDED = 10_000  # letters: wider than any table


def say(text: str) -> None:
    """A note for people."""
    print(text, file=sys.stderr)


def emit(text: str) -> None:
    """A line for programs (and people)."""
    print(text)


def emit_json(value: Any) -> None:
    """One JSON object on one line, the last of the output; JSON's own escapes where it is not written in UTF-8."""
    narrow = (sys.stdout.encoding or "utf-8").lower() != "utf-8"
    print(json.dumps(value, ensure_ascii=narrow, allow_nan=False, default=_plain), flush=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = (),
          whole: Sequence[str] = ()) -> None:
    """A table on stdout; columns named in `right` are flushed right, those in `whole` never broken (to be copied).

    No text is ever left out. In a pipe or a file, where nobody sees a width, a row is a line: `| grep` finds it.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(header_style="bold")
    for place, column in enumerate(columns):
        longest = max(len(line) for cells in (columns, *rows) for line in str(cells[place]).split("\n"))
        drawn.add_column(column, justify="right" if column in right else "left", no_wrap=column in whole,
                         overflow="fold", min_width=longest if column in whole else min(longest, NARROWEST))
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))  # as it is: a plain str may lose its [brackets] to markup
    console = Console()
    if not console.is_terminal:
        console = Console(width=UNBOUNDED)
    console.print(title, style="bold", markup=False, soft_wrap=True)
    console.print(drawn, crop=False)  # wider than a narrow terminal, which breaks its lines, rather than cut


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Progress]:
    """Bars with time left, on stderr, shown only where somebody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        yield bars
