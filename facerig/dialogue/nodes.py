"""YAML or JSON text -> values that know their line, read with errors that say it. Knows no dialogue.

Scalars stay text until a reader asks for a number: `no:` and `on:` are names here, as people mean them. JSON goes
through its own strict parser first; what it allows, YAML reads with the same meaning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from facerig.errors import FacerigError, InputError, did_you_mean

MAX_BYTES = 1_000_000  # a script of ten thousand lines; more is a mistaken file
MAX_DEPTH = 50  # brackets inside brackets
TAG = "tag:yaml.org,2002:"
KINDS = {TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "value", "merge")}
SUFFIXES = (".yaml", ".yml", ".json")
Read = TypeVar("Read")


@dataclass(frozen=True)
class Value:
    """A node of the file with the place it came from."""

    file: str
    node: yaml.Node

    def __post_init__(self) -> None:
        if self.node.tag not in KINDS:
            raise self.wrong(f"got the tag {self.node.tag[:60]!r}, accepted: plain values without tags")

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    def wrong(self, message: str) -> InputError:
        return InputError(f"{self.file}, line {self.line}: {message}")

    def got(self, what: str, accepted: str) -> InputError:
        return self.wrong(f"{what}: got {self.shown}, accepted: {accepted}")

    @property
    def shown(self) -> str:
        if isinstance(self.node, yaml.ScalarNode):
            text = " ".join(str(self.node.value).split())
            return repr(text if len(text) <= 60 else f"{text[:60]}...")
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a table of names"

    # ---- kinds ----------------------------------------------------------------------------------------------

    @property
    def scalar(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode)

    @property
    def empty(self) -> bool:
        """`key:` with nothing behind it."""
        return bool(self.node.tag == TAG + "null")

    @property
    def table(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def sequence(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    def text(self, what: str, accepted: str = "text", most: int = 5000) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or self.empty or not self.node.value.strip():
            raise self.got(what, accepted)
        text = _joined(str(self.node.value)).strip()
        if len(text) > most:
            raise self.wrong(f"{what}: got {len(text)} characters, accepted: up to {most}")
        return text

    def number(self, what: str, low: float, high: float, unit: str = "") -> float:
        accepted = f"a number from {low:g} to {high:g} {unit}".rstrip()
        quoted = isinstance(self.node, yaml.ScalarNode) and self.node.style in ("'", '"')
        try:
            value = math.nan if not self.scalar or quoted else float(self.node.value)
        except ValueError:
            value = math.nan
        if not low <= value <= high:  # NaN fails too
            raise self.got(what, accepted)
        return value

    def whole(self, what: str, low: int, high: int) -> int:
        value = self.number(what, low, high)
        if value != int(value):
            raise self.got(what, f"a whole number from {low} to {high}")
        return int(value)

    def truth(self, what: str) -> bool:
        word = str(self.node.value).lower() if self.scalar else ""
        if word not in ("true", "false", "yes", "no"):
            raise self.got(what, "yes or no")
        return word in ("true", "yes")

    def items(self, what: str, accepted: str, most: int) -> list[Value]:
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.got(what, accepted)
        if len(self.node.value) > most:
            raise self.wrong(f"{what}: got {len(self.node.value)}, accepted: up to {most}")
        return [Value(self.file, child) for child in self.node.value]

    def fields(self, what: str, accepted: Collection[str] | None = None) -> dict[str, Value]:
        """A table's values by name; a name that nobody accepts, or one twice, is an error at its own line."""
        if not isinstance(self.node, yaml.MappingNode):
            names = f"a table with {listed(accepted)}" if accepted else "a table of names"
            raise self.got(what, names)
        out: dict[str, Value] = {}
        for key_node, child in self.node.value:
            key = Value(self.file, key_node)
            if not key.scalar:
                raise key.got(f"{what}: a name", "text")
            name = _joined(str(key_node.value)).strip()
            if accepted is not None and name not in accepted:
                raise key.wrong(f"{what}: got {name[:60]!r}, accepted: {choices(name, accepted)}")
            if name in out:
                raise key.wrong(f"{what}: {name[:60]!r} stands twice")
            out[name] = Value(self.file, child)
        return out

    def through(self, what: str, read: Callable[[], Read]) -> Read:
        """What a reader of ours makes of it; its own errors get the line."""
        try:
            return read()
        except FacerigError as error:
            text = str(error)
            raise self.wrong(text if text.startswith(what) else f"{what}: {text}") from error


def listed(names: Collection[str], most: int = 24) -> str:
    shown = list(names)[:most]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


def choices(name: str, names: Collection[str]) -> str:
    """What would have been accepted, and the nearest of it."""
    return listed(names) + did_you_mean(name.lower(), names, 1)


# ---- text to nodes --------------------------------------------------------------------------------------------


def read_file(path: Path) -> Value:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: got a file {suffix or 'without suffix'}, accepted: {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no UTF-8 text") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES} bytes; a script is a short text file")
    return parse(text, str(path), as_json=suffix == ".json")


def parse(text: str, name: str = "script", as_json: bool = False) -> Value:
    """The root of a text."""
    if as_json:
        _check_json(text, name)
        text = text.replace("\t", " ").replace("\r\n", "\n")  # outside of strings: inside, JSON has none
    depth = np.cumsum([(letter in "[{") - (letter in "]}") for letter in text if letter in "[]{}"] or [0]).max()
    if depth > MAX_DEPTH:
        raise InputError(f"{name}: no YAML: {depth} brackets inside each other, accepted: up to {MAX_DEPTH}")
    try:
        node: Any = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(_yaml_problem(name, error)) from None
    if node is None:
        raise InputError(f"{name}: is empty; accepted: characters and lines (docs/DIALOGUE.md)")
    return Value(name, node)


def _check_json(text: str, name: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: no JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"{name}: no JSON: {str(error)[:100]}") from None


def _yaml_problem(name: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}" if mark is not None else ""
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    return f"{name}{where}: no YAML: {' '.join(str(problem).split())[:160]}"


def _joined(text: str) -> str:
    """JSON's halves of characters beyond 16 bits, put together."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
