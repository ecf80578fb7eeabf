"""Map files of a user's own: what is accepted, and one line for each thing that is wrong, naming file, row and name."""

from __future__ import annotations

import builtins
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facerig.curves import Curves
from facerig.errors import MissingExtra, RigError
from facerig.files import assets_folder
from facerig.mapfile import MAX_MAP_BYTES
from facerig.retarget import RetargetMap, Row, bench_retarget, load_map, retarget
from facerig.rig import rig, rig_names

MAPS = sorted((assets_folder() / "maps").glob("*.json"))


def chart(*rows: Any, **top: Any) -> str:
    """A map file's text, good but for what is given."""
    content = {"version": 1, "source": "arkit", "target": "muzzle", "rows": list(rows), **top}
    return json.dumps({key: value for key, value in content.items() if value is not ...})


def row(**changed: Any) -> dict[str, Any]:
    content = {"to": "jawOpen", "from": [["jawOpen", 1]], **changed}
    return {key: value for key, value in content.items() if value is not ...}


BAD_MAPS = [
    # the file
    ("", "line 1: no JSON"),
    ("{", "line 1: no JSON"),
    ('{"version": 1,\n "source": }', "line 2: no JSON"),
    ("[]", r"got \[\], accepted: an object with version"),
    ("null", "got None, accepted: an object"),
    ('{"version": 1, "version": 1}', "key 'version' stands twice"),
    ("[" * 100_000, "recursion|no JSON"),
    ('{"version": ' + "9" * 5000 + "}", "digits|missing|limit"),
    # the head
    (chart(row(), version=...), "'version' is missing"),
    (chart(row(), version=2), "version: got 2, accepted: 1"),
    (chart(row(), version=True), "version: got True"),
    (chart(row(), version="1"), "version: got '1'"),
    (chart(row(), source=...), "'source' is missing"),
    (chart(row(), target="muzle"), "target: no rig 'muzle'; did you mean muzzle"),
    (chart(row(), source="../../etc/passwd"), "source: no rig"),
    (chart(row(), target="none.csv"), "none.csv: cannot be read"),
    (chart(row(), target=7), "target: got 7, accepted: a rig's name, a .csv file or a list"),
    (chart(row(), target=[]), r"target: got \[\]"),
    (chart(row(), target=[3]), "target, channel 1: got 3"),
    (chart(row(), target=["a", "a"]), "channel 'a' stands twice"),
    (chart(row(), target=[{"low": 0}]), "target, channel 1: 'name' is missing"),
    (chart(row(), target=[{"name": "a", "low": "0"}]), "channel 1: low: got '0', accepted: a number"),
    (chart(row(), target=[{"name": "a", "low": 2}]), "channel 'a': 2.* is no range"),
    (chart(row(), target=[{"name": "a", "kind": "shape"}]), "channel 'a': kind 'shape'; accepted: weight"),
    (chart(row(), target=[{"name": "a", "mirror": "b"}]), "mirror of 'a' is 'b'"),
    (chart(row(), target=[{"name": "a", "min": 0}]), "unknown key 'min'"),
    (chart(row(), weights=[]), "unknown key 'weights'"),
    (chart(row(), row=[]), "unknown key 'row'; did you mean rows"),
    (chart(), r"rows: got \[\], accepted: a list with a row or more"),
    (chart(rows={}), r"rows: got \{\}"),
    # a row
    (chart(row(), 5), "row 2: got 5, accepted: an object with to, from"),
    (chart(row(to=...)), "row 1: 'to' is missing"),
    (chart(row(to=["jawOpen"])), "row 1: to: got"),
    (chart(row(), row(to="muzzleOpen", **{"from": ...})), "row 2: 'from' is missing"),
    (chart(row(weight=1)), "row 1: unknown key 'weight'"),
    (chart(row(to="jawOpn")), "row 1: rig 'muzzle' has no channel 'jawOpn'; did you mean jawOpen"),
    (chart(row(), row(to="muzzleOpen", **{"from": "mouthFunel"})),
     r"row 2 \(muzzleOpen\): rig 'arkit' has no channel 'mouthFunel'; did you mean mouthFunnel"),
    (chart(row(), row()), "row 2: 'jawOpen' has a row already"),
    (chart(row(**{"from": []})), r"row 1 \(jawOpen\): no terms"),
    (chart(row(**{"from": {}})), r"row 1 \(jawOpen\): from: got \{\}"),
    (chart(row(**{"from": [["jawOpen"]]})), "from: got .*accepted: .channel, weight."),
    (chart(row(**{"from": [["jawOpen", "1"]]})), "weight of jawOpen: got '1', accepted: a number"),
    (chart(row(**{"from": [["jawOpen", True]]})), "weight of jawOpen: got True"),
    (chart(row(**{"from": [["jawOpen", float("nan")]]})), "weight of jawOpen: got nan"),
    (chart(row(**{"from": [["jawOpen", float("inf")]]})), "weight of jawOpen: got inf"),
    (chart(row(**{"from": [["jawOpen", 1e30]]})), "weight of jawOpen: got 1e.30"),
    (chart(row(**{"from": ["jawOpen", ["jawOpen", 1]]})), "a source channel stands twice"),
    (chart(row(rule="average")), "rule 'average'; accepted: sum, max, min, product, ratio"),
    (chart(row(rule=["sum"])), "rule: got"),
    (chart(row(rule="ratio")), "a ratio has 2 terms, above and below the line; got 1"),
    (chart(row(rule="ratio", **{"from": ["jawOpen", "mouthClose", "mouthLeft"]})), "a ratio has 2 terms.*got 3"),
    (chart(row(offset="0")), "offset: got '0'"),
    (chart(row(clamp=[1, 0])), r"clamp \[1.0, 0.0\] is empty"),
    (chart(row(clamp=[0])), r"clamp: got \[0\], accepted: \[low, high\]"),
    (chart(row(clamp=1)), "clamp: got 1"),
    (chart(row(clamp=[0, float("inf")])), "clamp: got inf"),
]


@pytest.mark.parametrize(("text", "message"), BAD_MAPS)
def test_bad_maps(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(RigError, match=message) as caught:
        load_map(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


YAML_HEAD = "version: 1\nsource: arkit\ntarget: jaw\n"
BOMBS = "&a [x, x, x, x, x, x, x, x], " + ", ".join(
    f"&{this} [{', '.join([f'*{last}'] * 8)}]" for last, this in pairwise("abcdefghijklmn"))
BAD_YAML = [
    ("version: 1\n\trows: x", "no YAML"),
    ("version: [", "no YAML"),
    ("!!python/object/apply:os.system ['true']", "no YAML"),
    ("a: &a [x]\nb: [*a, *missing]", "no YAML"),
    ("version: 1\nsource: arkit\ntarget: jaw\nrows:\n  - to: jaw\n", "row 1: 'from' is missing"),
    (YAML_HEAD + "rows:\n- {to: jaw, from: [[jawOpen, yes]]}\n", "weight of jawOpen: got True"),
    (YAML_HEAD + "rows:\n- {to: jaw, from: [[jawOpen, .nan]]}\n", "weight of jawOpen: got nan"),
    ("? [a]\n: 1\n", "no YAML"),
    # Aliases of aliases: a few hundred bytes that are 8 ** 14 texts when written out.
    (f"bombs: [{BOMBS}]\nversion: *n\n", "unknown key 'bombs'"),
    (f"version: [{BOMBS}]\nsource: *n\ntarget: *n\nrows: *n\n", "version: got"),
    (f"version: 1\nsource: arkit\ntarget: [{BOMBS}]\nrows: [*n]\n", "target, channel 1: got"),
    (YAML_HEAD + f"rows: [{BOMBS}]\n", "row 1: got"),
    ("version: 1\n1: 2\nsource: arkit\ntarget: jaw\nrows: []\n", "unknown key 1"),
    ("just text", "got 'just text', accepted: an object"),
    ("version: 1\nversion: 1\n", "'version' stands twice"),
]


@pytest.mark.parametrize(("text", "message"), BAD_YAML)
def test_bad_yaml(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RigError, match=message) as caught:
        load_map(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("mine.txt", b"{}", "is a .json, .yaml or .yml file; got .txt"),
    ("mine", b"{}", "got no suffix"),
    ("mine.json", b"\xff\xfe{}", "no UTF-8"),
    ("mine.json", b" " * (MAX_MAP_BYTES + 1), "over 4000000 bytes"),
])
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RigError, match=message):
        load_map(tmp_path / name)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="No such file"):
        load_map(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(RigError, match="directory"):
        load_map(tmp_path / "folder.json")


def test_yaml_and_json_are_one_schema(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(chart(row(), row(to="earLeft", rule="max", clamp=[-1, 0.5], offset=0.1,
                                                     **{"from": ["browInnerUp", ["browDownLeft", -1]]})))
    (tmp_path / "a.yml").write_text("""
# a comment
version: 1
title: the same
source: arkit
target: muzzle
rows:
- {to: jawOpen, from: jawOpen}
- to: earLeft
  rule: max
  note: why
  from: [browInnerUp, [browDownLeft, -1]]
  offset: 0.1
  clamp: [-1, 0.5]
""")
    assert load_map(tmp_path / "a.json").rows == load_map(tmp_path / "a.yml").rows
    assert load_map(tmp_path / "a.yml").rows[1] == Row(
        "earLeft", (("browInnerUp", 1.0), ("browDownLeft", -1.0)), "max", 0.1, (-1.0, 0.5))


def test_yaml_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("version: 1")
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match="JSON"):
        load_map(tmp_path / "a.yaml")


def test_a_table_beside_the_map(tmp_path: Path) -> None:
    (tmp_path / "fox.csv").write_text("name,low,high,kind,mirror,region\njaw,0,1,weight,jaw,jaw\n")
    (tmp_path / "fox.json").write_text(chart(row(to="jaw"), target="fox.csv"))
    fox = load_map(tmp_path / "fox.json")
    assert (fox.target.name, fox.target.names, fox.neutral) == ("fox", ("jaw",), ())


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(chart(row()), encoding="utf-8-sig")
    assert len(load_map(tmp_path / "a.json").rows) == 1


def test_rows_made_in_python_are_held_to_the_same_laws() -> None:
    with pytest.raises(RigError, match="row 1: rig 'muzzle' has no channel 'beak'"):
        RetargetMap(rig("arkit"), rig("muzzle"), (Row("beak", (("jawOpen", 1.0),)),))
    chart_of_one = RetargetMap(rig("arkit"), rig("muzzle"), (Row("jawOpen", (("jawOpen", 1.0),)),))
    with pytest.raises(RigError, match=r"shape \(2, 3\), accepted: \[T, 52\]"):
        chart_of_one.apply(rig("arkit").low[:6].reshape(2, 3))


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_shipped_maps_are_well_kept(path: Path) -> None:
    found = load_map(path)
    assert path.stem == f"{found.source.name}--{found.target.name}"
    content = json.loads(path.read_text())
    assert content["title"]
    rows = [each for each in path.read_text().splitlines() if each.startswith(' {"to"')]
    assert len(rows) == len(found.rows), "one row a line"
    places = [found.target.index(each.target) for each in found.rows]
    assert places == sorted(places), "rows in the target's order"


# ---- what the documentation says ------------------------------------------------------------------------------------

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "RIGS.md"


def test_the_guide_lists_every_rig_with_its_count() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (\d+) \| ", GUIDE.read_text().split("## Conventions")[0], re.MULTILINE)
    assert {name: int(count) for name, count in listed} == {name: len(rig(name)) for name in rig_names()}


def test_the_guides_fox_works(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert example is not None
    path = tmp_path / "fox.yaml"
    path.write_text(example[1])
    fox = load_map(path)
    assert fox.neutral == ("tail",)
    start = Curves(rig("arkit").names, 60, np.ones((1, 52)))
    made = retarget(start, fox.target, using=fox)
    assert dict(zip(made.channels, made.values[0].tolist(), strict=True)) == pytest.approx(
        {"jaw": 0.3, "grinLeft": 1, "grinRight": 1, "ears": 0, "tail": 0}, abs=1e-6)
    path.write_text(example[1].replace("[mouthSmileLeft,", "[mouthSmilLeft,"))
    with pytest.raises(RigError) as caught:
        load_map(path)
    assert str(caught.value).replace(str(path), "fox.yaml") in GUIDE.read_text()


def test_bench_gives_figures() -> None:
    figures = bench_retarget(seconds=1)
    assert figures["bench"] == "retarget"
    assert min(figures["x_real_time"], figures["us_per_single_frame"]) > 0
