"""FLAME's files and those of other services: a rate, a first frame or a channel is never lost without a word."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from export_samples import take

import exporters
from exporters import READERS
from facerig.curves import Curves
from facerig.errors import CurvesError
from facerig.rig import rig

FLAME = (".flame.npz", ".deca.npz", ".smirk.npz", ".vhap.npz")
NAMES = rig("flame").names


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def read(data: bytes, fps: int | None = None) -> Curves:
    return READERS[".npz"](data, "x.npz", fps)


@pytest.mark.parametrize("rate", [29.97, 59.94, 23.976, np.nan, np.inf, 0, -30, 5000, "fast"])
def test_a_rate_that_no_curves_have_is_refused_by_name_and_can_be_given(rate: object) -> None:
    parts = {"expression": np.zeros((3, 10)), "jaw_pose": np.zeros((3, 3))}
    with pytest.raises(CurvesError, match=rf"^x.npz: .*rate.*{rate}.*--read-fps"):
        read(npz(**parts, fps=np.array(rate)))
    assert read(npz(**parts, fps=np.array(rate)), 30).fps == 30
    text = json.dumps({"exportFps": rate, "facsNames": ["jawOpen"], "weightMat": [[0.5]]})
    with pytest.raises(CurvesError, match=r"^x.json: .*exportFps.*--read-fps"):
        READERS[".json"](text.replace("NaN", '"NaN"').replace("Infinity", "1e999").encode(), "x.json")


@pytest.mark.parametrize("fps", [np.array([25]), np.array(25.0), np.array([[25]], np.uint8)])
def test_a_whole_rate_is_read_in_any_form(fps: np.ndarray) -> None:
    assert read(npz(expression=np.zeros((3, 10)), jaw_pose=np.zeros((3, 3)), fps=fps)).fps == 25


@pytest.mark.parametrize("suffix", FLAME)
def test_a_take_keeps_its_first_frame(suffix: str) -> None:
    for start in (45, -7):
        assert read(exporters.export(take(5, 30, NAMES, start), suffix)).start == start
    with np.load(io.BytesIO(exporters.export(take(5, 30, NAMES), suffix))) as arrays:
        assert "start" not in arrays.files  # as others write them


@pytest.mark.parametrize("suffix", FLAME)
def test_lids_that_a_file_cannot_hold_are_told(suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    still = Curves(NAMES, 30, np.zeros((3, len(NAMES))))
    exporters.export(still, suffix)
    assert not caplog.text
    exporters.export(take(5, 30, NAMES), suffix)
    assert ("eyelidLeft, eyelidRight" in caplog.text) == (suffix != ".smirk.npz")


def test_codes_as_deca_saves_them_are_read() -> None:
    rows = np.random.default_rng(0).random((4, 56), np.float32)
    curves = read(npz(exp=rows[:, :50], pose=rows[:, 50:], shape=np.zeros((4, 100)), cam=np.zeros((4, 3))))
    assert np.array_equal(curves["expression049"], rows[:, 49])
    assert np.array_equal(curves["global_x"], rows[:, 50])
    assert np.array_equal(curves["jaw_z"], rows[:, 55])
    assert not curves["neck_x"].any()


def test_expressions_beyond_the_rigs_hundred_are_told(caplog: pytest.LogCaptureFixture) -> None:
    many = np.zeros((4, 300), np.float32)
    assert read(npz(expression=many, jaw_pose=np.zeros((4, 3)))).channels == NAMES
    assert not caplog.text
    many[:, 7], many[:, 120:123] = 1, 2
    assert read(npz(expression=many, jaw_pose=np.zeros((4, 3))))["expression007"].tolist() == [1] * 4
    assert "300 expressions" in caplog.text
    assert "3 moving ones are left out" in caplog.text


@pytest.mark.parametrize("text", ['{"FrameIndex": 1e999, "BlendShapes": [[0]]}',
                                  '{"format": "facerig-curves", "version": 1, "fps": 30, "channels": ["a"], '
                                  '"marks": [[1e999, 2, "phone", "m"]], "values": [[0]]}'])
def test_a_number_without_end_is_said_in_a_line(text: str) -> None:
    with pytest.raises(CurvesError, match=r"^x.json: not "):
        READERS[".json"](text.encode(), "x.json")
