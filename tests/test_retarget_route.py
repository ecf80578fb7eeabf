"""The way from rig to rig: whose channels these are, which maps lead on, and what is said where none does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from retarget_kit import FLAMES, curves, one

from facerig.curves import Curves
from facerig.errors import RigError
from facerig.retarget import load_map, retarget, route, source_rig
from facerig.rig import Channel, Rig, rig


def test_the_same_rig_is_the_same_curves() -> None:
    start = curves("facerig")
    assert retarget(start, "facerig") is start


def test_other_order_is_reordered() -> None:
    start = curves("arkit")
    mixed = start.select(reversed(start.channels))
    assert retarget(mixed, "arkit") == start
    assert retarget(mixed, "metahuman") == retarget(start, "metahuman")


def test_a_phones_own_angles_of_the_eyes_outlive_the_way() -> None:
    start = curves("facerig-full")
    eyes = start.with_channels({"LeftEyeRoll": 0.25, "RightEyeYaw": -0.125})
    sent = retarget(eyes, "livelink")
    assert sent == retarget(start, "livelink").with_channels({"LeftEyeRoll": 0.25, "RightEyeYaw": -0.125})
    assert retarget(eyes, "metahuman") == retarget(start, "metahuman")
    shape = start.with_channels({"JawOpen": 0.875})  # a shape has its own way
    assert retarget(shape, "livelink") == retarget(start, "livelink")


@pytest.mark.parametrize(("channels", "target", "found"), [
    (rig("arkit").names[:51], None, "arkit"),
    ((*rig("arkit").names, "headYaw"), None, "facerig-full"),
    ((*rig("arkit").names, "beard"), None, "arkit"),
    ((*rig("facerig").names, "beard"), "arkit", "arkit"),
    ((*rig("livelink").names, "MHFDSVersion"), None, "livelink"),
    (rig("meta").names[:63], None, "meta"),
    (rig("sranipal").names[:37], None, "sranipal"),
    (rig("rocketbox").names[:52], None, "rocketbox"),
])
def test_source_rig_of_a_part_or_more(channels: tuple[str, ...], target: str | None, found: str) -> None:
    assert source_rig(channels, rig(target) if target else None).name == found


def test_fifty_one_shapes_are_arkit_with_the_tongue_in() -> None:
    start = curves("arkit")
    part = start.select(start.channels[:51])
    assert retarget(part, "livelink") == retarget(start.with_channels({"tongueOut": np.zeros(7)}), "livelink")


def test_a_rig_of_ones_own_without_a_map() -> None:
    mini = Rig("mini", "mini", (Channel("jawOpen"), Channel("mouthClose"), Channel("headYaw", -2, 2)))
    made = retarget(curves("a2f"), mini)
    assert made.channels == mini.names
    assert (made["jawOpen"] == curves("a2f")["JawOpen"]).all()
    with pytest.raises(RigError, match="no map from rig 'arkit' to 'mini'"):
        retarget(curves("arkit"), Rig("mini", "mini", (Channel("jawOpen"), Channel("gills"))))


def test_a_shipped_name_with_other_channels_is_no_shipped_rig() -> None:
    with pytest.raises(RigError, match="no map"):
        retarget(curves("arkit"), Rig("muzzle", "mine", (Channel("gills"),)))


@pytest.mark.parametrize("name", FLAMES)
def test_flame_needs_a_head(name: str) -> None:
    with pytest.raises(RigError, match=r"needs a head.*FlameBridge"):
        retarget(curves("facerig"), name)
    with pytest.raises(RigError, match="needs a head"):
        retarget(curves(name), "arkit")


def test_flame_sizes_convert() -> None:
    made = retarget(curves("flame"), "flame50")
    assert (made["jaw_x"] == curves("flame")["jaw_x"]).all()
    assert retarget(curves("flame50"), "flame")["expression070"].max() == 0


@pytest.mark.parametrize(("channels", "message"), [
    (("a", "b"), "are no known rig's; give a map"), ((), "are no known rig's"),
    ((*rig("arkit").names[:20], "x"), r"nearest is 'arkit' \(20 of 52\), of which"),
    (("jawOpen",), "no known rig's"),
    (("jaw", "grinLeft", "ears"), r"nearest is 'jaw', and one channel is too little of these 3; give a map"),
])
def test_channels_of_no_rig(channels: tuple[str, ...], message: str) -> None:
    with pytest.raises(RigError, match=message):
        retarget(Curves(channels, 60, np.zeros((1, len(channels)))), "metahuman")


def test_no_way_back_from_a_muzzle() -> None:
    with pytest.raises(RigError, match="no map from rig 'muzzle' to 'arkit'"):
        retarget(curves("muzzle"), "arkit")
    with pytest.raises(RigError, match="did you mean metahuman"):
        retarget(curves("muzzle"), "metahumann")


def test_a_map_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "fox.json"
    path.write_text('{"version": 1, "source": "arkit", "target": ["jaw", {"name": "ears", "low": -1}], "rows": ['
                    '{"to": "jaw", "from": [["jawOpen", 0.5]]},'
                    '{"to": "ears", "from": ["browInnerUp", ["browDownLeft", -1]], "clamp": [-0.5, 0.5]}]}')
    fox = load_map(path)
    start = one("a2f68", JawOpen=0.8, BrowDownLeft=0.9)
    made = retarget(start, fox.target, fox)
    assert made.channels == ("jaw", "ears")
    assert made.values[0].tolist() == pytest.approx([0.4, -0.5])
    assert retarget(start, fox.target, using=fox) == made
    assert len(route(rig("a2f68"), rig("arkit"))) == 2
    with pytest.raises(RigError, match="no known rig's"):
        retarget(start, "metahuman", using=fox)


def test_a_map_of_ones_own_may_lead_on(tmp_path: Path) -> None:
    path = tmp_path / "quiet.json"
    rows = ",".join(f'{{"to": "{name}", "from": [["{name}", 0.5]]}}' for name in rig("arkit").names)
    path.write_text(f'{{"version": 1, "source": "arkit", "target": "arkit", "rows": [{rows}]}}')
    halved = retarget(one("facerig", jawOpen=0.8), "livelink", using=load_map(path))
    assert halved.channels == rig("livelink").names
    assert halved["JawOpen"][0] == pytest.approx(0.4)
