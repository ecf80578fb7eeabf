"""What a character thinks of others, kept by the client as a small JSON file from one dialogue to the next.

    {"format": "facerig-attitudes", "version": 1, "character": "anna",
     "towards": {"ben": {"attitude": 0.31, "lines": 12}}}

`attitude` is -1 to 1, as the control of that name. A line said to the character moves it a small step towards how the
line was meant; steps get smaller with acquaintance, so old friends are not lost over one word. Values only: reading,
updating and writing are apart, a file appears whole or not at all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facerig.errors import InputError
from facerig.files import write_file

FORMAT, VERSION = "facerig-attitudes", 1
MAX_BYTES = 1_000_000
MOST = 1_000  # people remembered; beyond that those with the fewest lines are forgotten
MAX_NAME, MAX_LINES = 200, 1_000_000_000
STEP, LEAST = 0.15, 0.02  # of the way to a line's meaning: for strangers, and for those who know each other well
ACQUAINTED = 20.0  # lines after which the step is half as large
VALENCE, ACT = 0.6, 0.6  # share of the line's valence and of the act's warmth in what it means


@dataclass(frozen=True)
class Feeling:
    """Towards one person."""

    attitude: float = 0.0
    lines: int = 0

    def after(self, meant: float) -> Feeling:
        """One line later; `meant` is -1 to 1."""
        step = max(LEAST, STEP / (1 + self.lines / ACQUAINTED))
        moved = self.attitude + step * (max(-1.0, min(1.0, meant)) - self.attitude)
        return Feeling(max(-1.0, min(1.0, moved)), min(self.lines + 1, MAX_LINES))


@dataclass(frozen=True)
class Memory:
    """A character's feelings towards others."""

    character: str
    towards: Mapping[str, Feeling] = field(default_factory=dict)

    def attitude(self, other: str) -> float:
        return self.towards[other].attitude if other in self.towards else 0.0

    def beginning(self, attitudes: Mapping[str, float]) -> Memory:
        """With these attitudes towards people who are not known yet."""
        new = {name: Feeling(max(-1.0, min(1.0, value)))
               for name, value in attitudes.items() if name not in self.towards}  # fmt: skip
        return Memory(self.character, {**self.towards, **new}) if new else self

    def heard(self, other: str, valence: float, warmth: float = 0.0) -> Memory:
        """After a line of `other`'s: its valence (-1 to 1) and how warm its dialogue act is (-1 to 1)."""
        feeling = self.towards.get(other, Feeling()).after(VALENCE * valence + ACT * warmth)
        kept = sorted({**self.towards, other: feeling}.items(), key=lambda item: (item[0] != other, -item[1].lines))
        return Memory(self.character, dict(kept[:MOST]))

    def to_json(self) -> bytes:
        towards = {name: {"attitude": round(one.attitude, 6), "lines": one.lines}
                   for name, one in sorted(self.towards.items())}
        document = {"format": FORMAT, "version": VERSION, "character": self.character, "towards": towards}
        return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()

    def write(self, path: str | Path) -> Path:
        return write_file(path, self.to_json())

    @classmethod
    def read(cls, path: str | Path) -> Memory:
        """From a file; InputError that names what is wrong in it."""
        file = Path(path)
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise InputError(f"{file}: over {MAX_BYTES} bytes; a memory is a small file")
            return cls.from_json(data.decode("utf-8-sig"), str(file))
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise InputError(f"{file}: is no UTF-8 text") from None

    @classmethod
    def from_json(cls, text: str, name: str = "memory") -> Memory:
        try:
            got = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}: no JSON: {str(error)[:100]}") from None
        fields = _table(f"{name}", got, ("format", "version", "character", "towards"))
        if fields["format"] != FORMAT or fields["version"] is True or fields["version"] != VERSION:
            got = f"{str(fields['format'])[:40]!r}, version {str(fields['version'])[:20]}"
            raise InputError(f"{name}: format: got {got}, accepted: {FORMAT!r}, version {VERSION}")
        if not isinstance(fields["towards"], dict) or len(fields["towards"]) > MOST:
            raise InputError(f"{name}: towards: accepted: an object with up to {MOST} names")
        towards = {_name(name, who): _feeling(f"{name}: towards {who[:40]!r}", value)
                   for who, value in fields["towards"].items()}
        return cls(_name(name, fields["character"]), towards)


def _feeling(where: str, got: Any) -> Feeling:
    fields = _table(where, got, ("attitude", "lines"))
    attitude, lines = fields["attitude"], fields["lines"]
    if isinstance(attitude, bool) or not isinstance(attitude, int | float) or not -1 <= attitude <= 1:
        raise InputError(f"{where}: attitude: got {str(attitude)[:40]}, accepted: -1 to 1")
    if isinstance(lines, bool) or not isinstance(lines, int) or not 0 <= lines <= MAX_LINES:
        raise InputError(f"{where}: lines: got {str(lines)[:40]}, accepted: 0 to {MAX_LINES}")
    assert math.isfinite(attitude)
    return Feeling(float(attitude), lines)


def _name(where: str, got: Any) -> str:
    if not isinstance(got, str) or not 0 < len(got.strip()) <= MAX_NAME:
        raise InputError(f"{where}: a name: got {str(got)[:40]!r}, accepted: text of up to {MAX_NAME} characters")
    return got


def _table(where: str, got: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(got, dict) or set(got) != set(names):
        shown = ", ".join(str(name)[:30] for name in got) if isinstance(got, dict) else str(got)[:40]
        raise InputError(f"{where}: got {shown or 'nothing'}, accepted: an object with {', '.join(names)}")
    return got
