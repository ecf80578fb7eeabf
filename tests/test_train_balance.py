"""How readily visemes are heard, set right on strangers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from facerig.features import FEATURES  # noqa: E402
from facerig.model import preset  # noqa: E402
from facerig.model.net import Encoder  # noqa: E402
from facerig.phones import VISEMES15, unit_index, units, viseme15_of_units  # noqa: E402
from facerig.rig import rig  # noqa: E402
from facerig.train import recipe  # noqa: E402
from facerig.train.balance import balanced  # noqa: E402
from facerig.train.data import UNLABELLED, Store  # noqa: E402
from facerig.train.loop import judged  # noqa: E402

NAMES = tuple(unit.unit for unit in units())
SAID = [unit_index(name) for name in ("aa", "s", "iy", "m")]


def encoder() -> Encoder:
    """Hears units by a linear map of its own sounds, and "aa" too seldom."""
    torch.manual_seed(1)
    net = Encoder(preset("tiny", rig("facerig").names, NAMES, width=32, encoder="c1", decoder_width=24, decoder="c1"))
    return net.eval()


def strangers(seed: int, labels: list[int], frames: int = 600) -> Store:
    rng = np.random.default_rng(seed)
    said = np.repeat(rng.choice(labels, frames // 6), 6).astype(np.uint8)
    said[:12] = UNLABELLED
    feats = rng.normal(size=(frames, FEATURES)).astype(np.float16)
    return Store(feats, said, np.array([0, frames // 2]), np.array([frames // 2] * 2), np.ones(2, np.float32),
                 np.array(["x"] * 2, object), ("x/0", "x/1"))  # fmt: skip


def test_what_strangers_say_is_heard_more_readily_and_contacts_as_before() -> None:
    net, data = encoder(), strangers(1, SAID)
    before, old = copy.deepcopy(net.state_dict()), judged(net, data, 6)["viseme15"]
    added = balanced(net, [data])
    new = judged(net, data, 6)["viseme15"]
    assert old is not None
    assert new is not None
    assert new > old + 10  # sounds are noise here: what is left to learn is how often each is said
    heard, never = {VISEMES15[viseme15_of_units()[unit]] for unit in SAID}, {"kk", "RR"}
    assert min(added[name] for name in heard) > max(added[name] for name in never)
    for name, rows in net.state_dict().items():
        same = before[name]
        if name.endswith("bias") and name.startswith("heads."):
            moved = rows - same
            assert torch.equal(moved[len(NAMES) :], torch.zeros(4)), name
            for viseme in range(len(VISEMES15)):
                own = moved[: len(NAMES)][torch.from_numpy(viseme15_of_units() == viseme)]
                assert own.max() - own.min() < 1e-5, name
        else:
            assert torch.equal(rows, same), name


def test_a_balanced_network_stays_as_it_is() -> None:
    net, data = encoder(), strangers(1, SAID)
    balanced(net, [data])
    assert max(abs(value) for value in balanced(net, [data]).values()) < 0.2


def test_sets_count_alike_however_long() -> None:
    one, other = strangers(1, SAID[:1]), strangers(2, SAID[1:2], 6000)
    added = balanced(encoder(), [one, other])
    names = [VISEMES15[viseme15_of_units()[unit]] for unit in SAID[:2]]
    assert abs(added[names[0]] - added[names[1]]) < 1.0  # ten times the frames would be 2.3


def test_without_strangers_nothing_moves() -> None:
    net = encoder()
    before = copy.deepcopy(net.state_dict())
    assert balanced(net, []) == {}
    silent = strangers(1, [UNLABELLED])
    assert balanced(net, [silent]) == {}
    assert all(torch.equal(rows, before[name]) for name, rows in net.state_dict().items())


def test_strangers_are_no_set_that_is_only_watched() -> None:
    assert not set(recipe.STRANGERS) & set(recipe.WATCHED)
