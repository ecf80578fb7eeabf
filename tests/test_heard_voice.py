"""The shipped ear on real speech, the listing command, and the training's own parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facerig.cli import run
from facerig.controls import Controls
from facerig.emotion import keyframes
from facerig.emotion.ear import CLASSES
from facerig.emotion.heard import load
from facerig.emotion.listen import Course, keyframe_csv, keyframe_json, listen
from facerig.emotion.weights import load as load_weights
from facerig.emotion.window import EVERY
from facerig.files import REPOSITORY, assets_folder
from facerig.stage import FPS, Frames

DEMO = assets_folder() / "demo.wav"
DATA = REPOSITORY.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "emodb" / "audio").is_dir(), reason="no ../shared/data")


@pytest.fixture(scope="module")
def course() -> Course:
    return listen(DEMO)


def test_the_shipped_weights_are_small_and_their_card_holds_figures() -> None:
    files = [assets_folder() / "models" / f"emotion.{kind}" for kind in ("safetensors", "json")]
    assert sum(file.stat().st_size for file in files) < 2e6
    _, card = load_weights()
    assert tuple(card["config"]["classes"]) == CLASSES
    assert card["figures"]["uar7"] > 3 / 7
    assert sum(map(sum, card["figures"]["confusion"])) == card["figures"]["clips"]


def test_a_course_has_a_row_for_every_frame_and_its_scores_are_shares(course: Course) -> None:
    from facerig.audio import read

    audio = read(DEMO)
    assert len(course.scores) == pytest.approx(len(audio.samples) / audio.rate * FPS, abs=1)
    assert np.allclose(course.scores.sum(-1), course.sure, atol=1e-5)
    assert 0 <= course.intensity.min() <= course.intensity.max() <= 1
    assert np.abs(course.vad).max() <= 1


def test_nothing_pops(course: Course) -> None:
    assert np.abs(np.diff(course.mixture, axis=0)).max() < 0.06


def test_keyframes_are_read_back_by_the_reader_of_keyframes(course: Course) -> None:
    for text in (keyframe_json(course, 0.5).decode(), keyframe_csv(course, 0.5).decode()):
        keys = keyframes.keyframes(text)
        assert len(keys) == len(course.frames(0.5))
        rows = keyframes.apply(Controls(), keys).rows(0, len(course.scores) + 1)
        emotion = rows[:, : course.mixture.shape[1]]
        for frame in course.frames(0.5)[1:]:
            assert np.abs(emotion[frame] - course.mixture[frame]).max() < 0.03


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["emotions", str(DEMO), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["voice_heard"]
    assert set(said["mean_scores"]) == set(CLASSES)
    for name in ("k.json", "k.csv"):
        assert run(["emotions", str(DEMO), "-o", str(tmp_path / name)]) == 0
        assert keyframes.read_keyframes(tmp_path / name)
    capsys.readouterr()
    assert run(["emotions", str(DEMO)]) == 0
    assert "arousal" in capsys.readouterr().out


def test_the_command_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plot extra")
    assert run(["emotions", str(DEMO), "-o", str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("words", [["-o", "x.txt"], ["--every", "0"], ["--strength", "2"], ["--max-emotions", "9"]])
def test_bad_options_are_our_errors(words: list[str]) -> None:
    assert run(["emotions", str(DEMO), *words]) == 2


def test_a_file_that_is_no_sound_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"nothing")
    assert run(["emotions", str(tmp_path / "no.wav"), "-o", str(tmp_path / "k.json")]) == 3
    assert not (tmp_path / "k.json").exists()


def test_a_gain_of_the_microphone_does_not_change_what_is_heard() -> None:
    sound = _demo()
    plain, quiet = (_heard_at_end(sound * gain) for gain in (1.0, 0.25))
    assert np.abs(plain - quiet).max() < 0.1


def _demo() -> Frames:
    from facerig.audio import read
    from facerig.resample import Resample

    audio = read(DEMO)
    edge = Resample(audio.rate)
    state, rows = edge.push(edge.start(), audio.samples)
    return np.concatenate([rows, edge.flush(state)])


def _heard_at_end(rows: Frames) -> Frames:
    from facerig.features import LogMel

    heard, mel = load(), LogMel()
    _, feats = mel.push(mel.start(), rows)
    _, found, _ = heard.hear(tuple(array[None] for array in heard.start()), feats[None])
    scores: Frames = found.scores[0, -1]
    return scores


@needs_data
def test_clips_it_learnt_from_are_heard_as_they_were_meant() -> None:
    """A test of the whole way to shipped weights, not of how well it hears: unseen speakers are `facerig eval`'s."""
    from facerig.train.heard_data import LETTERS

    files = sorted((DATA / "emodb" / "audio").glob("*.flac"))[::17]
    right = 0
    for file in files:
        scores = listen(file).scores[-1]
        right += CLASSES[int(scores.argmax())] == LETTERS[file.stem[5]]
    assert right >= 0.6 * len(files)


@needs_data
def test_the_stream_at_a_clips_end_is_what_training_looks_at() -> None:
    pytest.importorskip("torch", reason="the train extra")
    from facerig.train.heard import described, row
    from facerig.train.heard_data import native

    heard = load()
    samples = native(sorted((DATA / "emodb" / "audio").glob("*.flac"))[3])
    rows = samples[: len(samples) // 400 * 400].reshape(-1, 400)
    whole = (len(rows) - 1) // EVERY * EVERY + 1  # the last group's own frame
    trained = heard.ear.scores(row(described(heard.ear.voice, samples[: whole * 400]), heard.ear.voice))
    assert np.abs(_heard_at_end(rows[:whole]) - trained).max() < 1e-3


@needs_data
def test_listeners_rates_and_labels_are_read() -> None:
    pytest.importorskip("torch", reason="the train extra")
    from facerig.train.heard_data import listener_rates

    rates = listener_rates()
    assert len(rates) > 400
    assert rates["03a01Nc"] == 1.0
    assert rates["03a01Fa"] == 0.9


def test_pitch_is_tracked_to_a_tenth_of_a_semitone() -> None:
    pytest.importorskip("torch", reason="the train extra")
    from facerig.train.heard_pitch import track

    time = np.arange(24_000) / 24_000
    for hertz in (85.0, 140.0, 233.0, 410.0):
        tone = np.sum([0.1 * np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 12)], axis=0)
        found, sure = track(tone.astype(np.float32))
        assert np.abs(12 * np.log2(found[6:-6] / hertz)).max() < 0.1
        assert sure[6:-6].min() > 0.9
    _, sure = track(np.random.default_rng(0).standard_normal(24_000).astype(np.float32))
    assert np.median(sure) < 0.5


# ---- what the training does to clips --------------------------------------------------------------------------------


def test_running_speech_is_the_clip_among_its_own_speakers_and_emotion() -> None:
    """Each clip is a constant of its own, so that whatever is joined to it can be told."""
    pytest.importorskip("torch", reason="the train extra")
    from facerig.train.heard_data import Acted, running

    kinds = (("a", "sad"), ("a", "sad"), ("a", "happy"), ("b", "sad"))
    clips = [Acted(str(k), who, what, np.full(48_000, k + 1, np.float32), 1.0) for k, (who, what) in enumerate(kinds)]
    rng, joined, begun = np.random.default_rng(0), 0, 0
    for _ in range(60):
        sound = running(clips, 0, rng)
        assert set(np.unique(sound)) <= {0, 1, 2}
        whole = int((sound == 1).sum())
        begun += whole < 48_000
        assert whole == 48_000 or (whole == len(sound) and 0.6 * 24_000 - 1 <= whole <= 1.4 * 24_000)
        joined += bool((sound == 2).any())
    assert 5 < begun < 30
    assert 10 < joined < 40


def test_an_interval_holds_its_figure_and_narrows_with_certainty() -> None:
    pytest.importorskip("torch", reason="the train extra")
    from facerig.train.heard_fit import between, recall_of

    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(CLASSES), 200)
    speakers = [str(k % 8) for k in range(200)]
    sure = np.eye(len(CLASSES), dtype=np.float32)[labels]
    half = np.where(rng.random((200, 1)) < 0.5, sure, rng.random((200, len(CLASSES)))).astype(np.float32)
    assert between(labels, sure, speakers, draws=50) == (1.0, 1.0)
    low, high = between(labels, half, speakers, draws=200)
    assert low < recall_of(labels, half) < high


def test_sounds_are_changed_at_sizes_that_are_quick_to_transform() -> None:
    pytest.importorskip("torch", reason="the train extra")
    from facerig.train.heard_data import _quick, changed

    for count in (1, 47_989, 95_978, 131_072, 200_003):
        size = _quick(count)
        assert count <= size < count * 1.34 + 16
        for factor in (2, 3, 5):
            while size % factor == 0:
                size //= factor
        assert size == 1
    sound = np.random.default_rng(0).standard_normal(9_973).astype(np.float32)
    for seed in range(6):
        out = changed(sound, np.random.default_rng(seed), 1.0)
        assert np.isfinite(out).all()
        assert 10 ** (-38 / 20) * 0.99 <= np.sqrt((out.astype(np.float64) ** 2).mean()) <= 10 ** (-14 / 20) * 1.01
