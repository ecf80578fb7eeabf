"""The file form of a retarget map, .json or .yaml: its keys and kinds checked line by line. Knows no rule's arithmetic.

    {"version": 1, "source": "facerig", "target": "muzzle.csv", "rows": [
     {"to": "jaw", "from": [["jawOpen", 0.9], ["mouthClose", -0.5]], "clamp": [0, 1]}
    ]}
"""

from __future__ import annotations

import json
import math
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerig.errors import MissingExtra, RigError
from facerig.rig import Channel, Rig, nearest, read_rig, rig

VERSION = 1
MAX_MAP_BYTES = 4_000_000  # a map of ten thousand rows; more is a mistaken file
TOP_KEYS = ("version", "source", "target", "rows", "title", "note")
ROW_KEYS = ("to", "from", "rule", "offset", "clamp", "note")
CHANNEL_KEYS = ("name", "low", "high", "kind", "mirror", "region")


@dataclass(frozen=True)
class MapDraft:
    """What the file says, in the right kinds; names and rules are not yet compared with the rigs."""

    source: Rig
    target: Rig
    rows: tuple[dict[str, Any], ...]
    origin: str


def read_map_file(path: Path) -> MapDraft:
    content = _parsed(path)
    _check_keys(f"{path}", content, TOP_KEYS, needed=("version", "source", "target", "rows"))
    if content["version"] is True or content["version"] != VERSION:
        raise RigError(f"{path}: version: got {_shown(content['version'])}, accepted: {VERSION}")
    if not isinstance(content["rows"], list) or not content["rows"]:
        raise RigError(f"{path}: rows: got {_shown(content['rows'])}, accepted: a list with a row or more")
    source, target = (_rig(path, key, content[key]) for key in ("source", "target"))
    rows = tuple(_row(f"{path}, row {number}", row) for number, row in enumerate(content["rows"], 1))
    return MapDraft(source, target, rows, str(path))


# ---- text to values -------------------------------------------------------------------------------------------


def _parsed(path: Path) -> Any:
    text = _text(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _json(path, text)
    if suffix in (".yaml", ".yml"):
        return _yaml(path, text)
    raise RigError(f"{path}: a retarget map is a .json, .yaml or .yml file; got {suffix or 'no suffix'}")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_MAP_BYTES + 1)
        if len(data) > MAX_MAP_BYTES:
            raise RigError(f"{path}: over {MAX_MAP_BYTES} bytes; a retarget map is a short text file")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise RigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise RigError(f"{path}: is no UTF-8 text") from None


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise RigError(f"{path}, line {error.lineno}: no JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise RigError(f"{path}: {error}") from None


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {double!r} stands twice in one object")
    return found


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("a map in YAML", "", "or write it in JSON") from None

    class Loader(yaml.SafeLoader):
        """The safe one, which a key that stands twice does not pass."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            return _unique([(self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                            for key, value in node.value])

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:  # TypeError: a list for a key
        reason = " ".join(str(error).split())
        raise RigError(f"{path}: no YAML: {reason[:200]}") from None


# ---- values to kinds --------------------------------------------------------------------------------------------


def _check_keys(where: str, got: Any, accepted: tuple[str, ...], needed: tuple[str, ...]) -> None:
    if not isinstance(got, dict):
        raise RigError(f"{where}: got {_shown(got)}, accepted: an object with {', '.join(needed)}")
    for key in got:
        if key not in accepted:
            raise RigError(f"{where}: unknown key {key!r}; {nearest(str(key), accepted)}")
    for key in needed:
        if key not in got:
            raise RigError(f"{where}: {key!r} is missing; needed: {', '.join(needed)}")


def _rig(path: Path, key: str, got: Any) -> Rig:
    """A shipped rig's name, a table file beside the map, or the channels themselves."""
    if isinstance(got, str) and got.lower().endswith(".csv"):
        return read_rig(path.parent / got)
    if isinstance(got, str):
        try:
            return rig(got)
        except RigError as error:
            raise RigError(f"{path}: {key}: {error}") from None
    if not isinstance(got, list) or not got:
        raise RigError(f"{path}: {key}: got {_shown(got)}, accepted: a rig's name, a .csv file or a list of channels")
    try:
        channels = tuple(_channel(f"{key}, channel {number}", each) for number, each in enumerate(got, 1))
        return Rig(path.stem if key == "target" else f"{path.stem}-{key}", path.stem, channels)
    except RigError as error:
        raise RigError(f"{path}: {error}") from None


def _channel(where: str, got: Any) -> Channel:
    if isinstance(got, str) and got.strip():
        return Channel(got)
    _check_keys(where, got, CHANNEL_KEYS, needed=("name",))
    for key, value in got.items():
        if key in ("low", "high"):
            _number(f"{where}: {key}", value)
        elif not isinstance(value, str) or not value:
            raise RigError(f"{where}: {key}: got {_shown(value)}, accepted: text")
    return Channel(**got)


def _row(where: str, got: Any) -> dict[str, Any]:
    _check_keys(where, got, ROW_KEYS, needed=("to", "from"))
    if not isinstance(got["to"], str):
        raise RigError(f"{where}: to: got {_shown(got['to'])}, accepted: a channel's name")
    where = f"{where} ({got['to']})"
    rule = got.get("rule", "sum")
    if not isinstance(rule, str):
        raise RigError(f"{where}: rule: got {_shown(rule)}, accepted: a rule's name")
    return {"target": got["to"], "terms": _terms(where, got["from"]), "rule": rule,
            "offset": _number(f"{where}: offset", got.get("offset", 0)),
            "clamp": _clamp(where, got.get("clamp"))}


def _terms(where: str, got: Any) -> tuple[tuple[str, float], ...]:
    """"name" or a list of "name" and ["name", weight]."""
    listed = [got] if isinstance(got, str) else got
    if not isinstance(listed, list):
        raise RigError(f"{where}: from: got {_shown(got)}, accepted: [[channel, weight], ...]")
    return tuple(_term(where, each) for each in listed)


def _term(where: str, got: Any) -> tuple[str, float]:
    if isinstance(got, str):
        return got, 1.0
    if not isinstance(got, list) or len(got) != 2 or not isinstance(got[0], str):
        raise RigError(f"{where}: from: got {_shown(got)}, accepted: [channel, weight]")
    return got[0], _number(f"{where}: weight of {got[0]}", got[1])


def _clamp(where: str, got: Any) -> tuple[float, float] | None:
    if got is None:
        return None
    if not isinstance(got, list) or len(got) != 2:
        raise RigError(f"{where}: clamp: got {_shown(got)}, accepted: [low, high]")
    return _number(f"{where}: clamp", got[0]), _number(f"{where}: clamp", got[1])


def _number(where: str, got: Any) -> float:
    if isinstance(got, bool) or not isinstance(got, int | float) or not math.isfinite(got) or abs(got) > 1e6:
        raise RigError(f"{where}: got {_shown(got)}, accepted: a number")
    return float(got)


def _shown(got: Any) -> str:
    """A short form; reprlib, since YAML's aliases can make a value of a few bytes whose repr fills the memory."""
    text = " ".join(reprlib.repr(got).split())
    return text if len(text) <= 60 else f"{text[:60]}..."
