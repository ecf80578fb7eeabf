"""Text to sound and face: tags, pauses, engines, one clock, and every fault before a file is written."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig.audio import Audio
from facerig.cli import run
from facerig.controls import Controls, place
from facerig.curves import Curves
from facerig.emotion.keyframes import keyframes
from facerig.emotion.space import NAMES, mixture
from facerig.errors import OptionError, ServiceError
from facerig.phones import Timed
from facerig.pipeline import Animator, Ask
from facerig.transcript.read import Transcript
from facerig.transcript.speak import Said, external, joined, sentences, speak
from facerig.transcript.tags import EMOTIONS, Feeling, Piece, tagged

TTS = ("import sys, wave; w = wave.open(sys.argv[2], 'wb'); w.setnchannels(1); w.setsampwidth(2); w.setframerate(16000)"
       "; w.writeframes(bytes(3200) * len(sys.argv[1].split()))")  # a tenth of a second of silence a word


def own_engine() -> str:
    return f"{sys.executable} -c \"{TTS}\" {{text}} {{wav}}"


def fake_engine(text: str) -> Said:
    """A word is 'ba', 0.2 s of noise."""
    count = len(text.split())
    rng = np.random.default_rng(len(text))
    own = ((0, 0.08, "b"), (0.08, 0.2, "aa"))
    timed = [Timed(k * 0.2 + a, k * 0.2 + b, u) for k in range(count) for a, b, u in own]
    return Said(rng.normal(0, 0.1, round(16_000 * 0.2) * count).astype(np.float32), 16_000, tuple(timed))


def test_tags_are_taken_out_and_counted_by_word() -> None:
    pieces, feelings = tagged("[happy:0.7] Hello there [pause] my [sad] old friend")
    assert pieces == [Piece("Hello there", 0.3), Piece("my old friend")]
    assert feelings == [Feeling(0, "happiness", 0.7), Feeling(3, "sadness", 1.0)]


def test_a_tag_without_blanks_parts_words() -> None:
    pieces, feelings = tagged("Hello![sad]Goodbye my friend")
    assert pieces == [Piece("Hello! Goodbye my friend")]
    assert feelings == [Feeling(1, "sadness", 1.0)]


def test_a_name_in_a_tag_is_the_emotion_that_it_is_everywhere() -> None:
    for name in {*EMOTIONS, *NAMES}:
        (feeling,) = tagged(f"[{name}] hi")[1]
        if name in NAMES:
            assert mixture(feeling.name) == mixture(name)


def test_every_name_that_is_offered_is_a_tag() -> None:
    assert tagged("[out of breath] hi [ In  pain : 0.5 ] you")[1] == [
        Feeling(0, "out of breath", 1.0), Feeling(1, "in pain", 0.5)]
    for name in {*EMOTIONS, *NAMES}:
        assert tagged(f"[{name}] hi")[0] == [Piece("hi")]


@pytest.mark.parametrize(("text", "message"), [
    ("hi\0there", "NUL"), ("hi \udcff", "UTF-8"), ("[see page] you", "accepted: pause"),
    ("[hapy] you", "did you mean happy"), ("[happy:2] you", "0 to 1"), ("[happy:x] you", "0 to 1"),
    ("[pause:99] you", "0 to 10"), ("[unclosed you", "bracket"), ("", "words to speak"), ("[sad]", "words to speak"),
])  # fmt: skip
def test_bad_tags_say_what_is_accepted(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        tagged(text)


def test_sound_curves_phones_and_feelings_share_a_clock() -> None:
    animate = Animator.load(model="fake", alive=False).animate_said
    speech = speak("one two [pause:0.5] [angry:0.4] three", fake_engine, animate)
    assert speech.seconds == pytest.approx(0.4 + 0.5 + 0.2 + 0.25)
    assert speech.curves.frames == -(-len(speech.samples) * 60 // 16_000)
    closures = [m.start for m in speech.curves.marks if m.label == "b"]
    assert closures == [0, 12, 54]
    words = [(m.start, m.end, m.label) for m in speech.curves.marks if m.kind == "word"]
    assert [label for _, _, label in words] == ["one", "two", "three"]
    assert words[0][0] == 0
    assert words[2][1] == 66
    feeling = next(m for m in speech.curves.marks if m.kind == "emotion")
    assert feeling.label == "anger:0.4"
    assert feeling.start == 54
    assert feeling.end == speech.curves.frames


def test_lips_close_where_the_engine_says() -> None:
    curves = speak("one two three", fake_engine, Animator.load(model="fake", alive=False).animate_said).curves
    gap = curves["jawOpen"] - curves["mouthClose"]
    for frame in (14, 26):
        assert gap[frame - 2 : frame + 3].min() < 0.02
        assert gap[frame + 5] > 0.03


def test_tags_become_emotions_at_their_words() -> None:
    asked: list[Controls] = []

    def animate(audio: Audio, told: Transcript, language: str, ask: Ask) -> Curves:
        asked.append(ask(told.phones))
        return Curves(("jawOpen",), 60, np.zeros((-(-len(audio.samples) * 60 // audio.rate), 1), np.float32))

    speak("[sad:0.5] one two [pause:0.5] [joy] three", fake_engine, animate, controls=Controls({"lip_scale": 1.5}))
    rows = asked[0].rows(0, 81)
    sad, happy = rows[:, place("emotion:sad")], rows[:, place("emotion:happy")]
    assert (sad[0], sad[38], sad[54]) == (0.5, 0.5, 0)
    assert (happy[38], happy[54], happy[80]) == (0, 1, 1)
    assert 0 < happy[46] < 1
    assert (rows[:, place("lip_scale")] == 1.5).all()


def test_tags_and_keyframes_take_turns() -> None:
    asked: list[Controls] = []

    def animate(audio: Audio, told: Transcript, language: str, ask: Ask) -> Curves:
        asked.append(ask(told.phones))
        return Curves(("jawOpen",), 60, np.zeros((-(-len(audio.samples) * 60 // audio.rate), 1), np.float32))

    keys = keyframes('[{"time": 0, "emotion": "angry:0.5", "set": {"gain:jaw": 0.5}}, {"time": 0.6, "emotion": '
                     '"fear", "fade": 0.1}, {"time": 9, "emotion": "neutral"}]')  # fmt: skip
    speak("[happy:0.7] one two [pause:0.5] [joy] three [sad] four", fake_engine, animate, keyframes=keys)
    rows = asked[0].rows(0, 700)
    felt = {name: rows[:, place(f"emotion:{name}")] for name in ("angry", "happy", "fear", "sad")}
    assert not felt["angry"].any(), "of one instant the tag's counts"
    assert felt["happy"][[0, 35, 53]].tolist() == [np.float32(0.7), np.float32(0.7), 1]
    assert felt["fear"][[35, 53]].tolist() == [0, 0]
    assert 0.4 < felt["fear"][38] < 1
    assert felt["sad"][[66, 500, 699]].tolist() == [1, 1, 0]
    assert (rows[20:, place("gain:jaw")] == 0.5).all()


def test_the_command_gives_tags_and_the_keyframes_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Controls] = []

    def animate(self: Animator, audio: Audio, told: Transcript, language: str, ask: Ask) -> Curves:
        seen.append(ask(told.phones))
        return Curves(("jawOpen",), 60, np.zeros((-(-len(audio.samples) * 60 // audio.rate), 1), np.float32))

    monkeypatch.setattr(Animator, "animate_said", animate)
    (tmp_path / "feel.json").write_text('[{"time": 0, "emotion": "fear"}, {"time": 5, "emotion": "neutral"}]')
    asked = ["--emotion", str(tmp_path / "feel.json"), "--style", "lively", "--command", own_engine()]
    out = ["-o", str(tmp_path / "a.wav"), "--model", "fake", "--format", "npz"]
    assert run(["say", "[happy:1] one two", *out, *asked]) == 0
    row = seen[0].rows(0, 1)[0]
    assert row[[place("emotion:happy"), place("emotion:fear")]].tolist() == [1, 0]
    assert row[place("style:0") : place("style:7") + 1].any()


def test_pieces_must_keep_their_rate() -> None:
    rates = iter((16_000, 22_050))
    with pytest.raises(ServiceError, match="changed its rate"):
        joined([Piece("a"), Piece("b")], lambda _: Said(np.zeros(100, np.float32), next(rates)))


def test_a_text_may_begin_with_a_pause() -> None:
    """At the engine's rate, which nobody knows before it has spoken."""
    said = joined(tagged("[pause:0.5] [pause:0.25] Hello there [pause:1]")[0], fake_engine)
    assert said.rate == 16_000
    assert len(said.samples) == round(16_000 * (0.75 + 0.4 + 1 + 0.25))
    assert not said.samples[: 12_000].any()
    assert said.samples[12_000 : 12_100].all()
    assert said.timed[0].start == said.spans[0].start == 0.75
    assert said.spans[0].end == pytest.approx(1.15)


def test_pauses_alone_are_silence() -> None:
    said = joined([Piece("", 0.5), Piece("", 0.25)], fake_engine)
    assert len(said.samples) == said.rate
    assert not said.samples.any()


def test_sentences() -> None:
    assert sentences("One. Two!  Three?") == ["One.", "Two!", "Three?"]


def test_command_writes_both_files_of_one_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.wav"
    assert run(["say", "one two three", "-o", str(out), "--command", own_engine(), "--model", "fake", "--format", "npz",
                "--json"]) == 0  # fmt: skip
    report = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    samples, rate = soundfile.read(out)
    assert report["frames"] == -(-len(samples) * 60 // rate)
    from facerig.curves import Curves

    curves = Curves.from_npz((tmp_path / "a.npz").read_bytes())
    assert curves.frames == report["frames"]
    assert any(mark.kind == "phone" for mark in curves.marks)
    assert [mark.label for mark in curves.marks if mark.kind == "word"] == ["one", "two", "three"]


def test_formats_with_a_head_have_one(tmp_path: Path) -> None:
    arguments = ["say", "one two", "-o", str(tmp_path / "a.wav"), "--command", own_engine(), "--model", "fake"]
    assert run([*arguments, "--format", "glb"]) == 0
    assert (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--command", "tts {wav}"], 2, "{text}"),
    (["--command", "tts 'x {text} {wav}"], 2, "No closing quotation"),
    (["--command", "/no/such/tts {text} {wav}"], 7, "cannot be started"),
    (["--command", f"{sys.executable} -c 'raise SystemExit(3)' {{text}} {{wav}}"], 7, "exit code 3"),
    (["--command", f"{sys.executable} -c pass {{text}} {{wav}}"], 7, "wrote no"),
    (["--engine", "siri"], 2, "accepted: auto"),
    (["--fps", "0", "--command", "/no/such/tts {text} {wav}"], 2, "--fps: got 0, accepted: 1 to 1000"),
    (["--format", "glb", "--head", "nobody", "--command", "/no/such/tts {text} {wav}"], 2, "--head: no head 'nobody'"),
])  # fmt: skip
def test_faults_write_nothing(arguments: list[str], code: int, message: str, tmp_path: Path,
                              capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert run(["say", "hello", "-o", str(tmp_path / "a.wav"), "--model", "fake", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    arguments = ["-o", str(tmp_path / "a.wav"), "--command", own_engine(), "--model", "fake"]
    for errors, code in (("strict", 3), ("surrogateescape", 2)):  # as Python reads in most locales, and in C's
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), "utf-8", errors))
        assert run(["say", "-", *arguments]) == code
        assert "accepted: text in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("sys.stdin", io.StringIO("café"))
    assert run(["say", "-", *arguments]) == 0


def test_curves_are_not_written_over_the_keyframes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = tmp_path / "a.json"
    asked.write_text('[{"time": 0, "emotion": "happy:0.5"}]')
    arguments = ["say", "a", "-o", str(tmp_path / "a.wav"), "--emotion", str(asked), "--format", "json"]
    assert run([*arguments, "--command", own_engine(), "--model", "fake"]) == 2
    assert "would overwrite the file of --emotion" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_output_must_be_a_wav(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["say", "a", "-o", str(tmp_path / "a.mp3"), "--command", own_engine(), "--model", "fake"]
    assert run(arguments) == 2
    assert ".wav" in capsys.readouterr().err


def test_a_real_engine_tells_its_phones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    out = tmp_path / "a.wav"
    assert run(["say", "Bob may pay.", "-o", str(out), "--engine", "espeak-ng", "--model", "fake", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert 0.5 < report["seconds"] < 3
    assert report["engine"] == "espeak-ng"


def test_a_text_is_never_read_by_a_shell(tmp_path: Path) -> None:
    said = external(own_engine())(f"a; touch {tmp_path}/hacked $(touch {tmp_path}/hacked)")
    assert len(said.samples) > 0
    assert not list(tmp_path.iterdir())


def test_a_voice_that_flite_lacks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """It would speak with another one."""
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("facerig.transcript.engines.flite_voices", lambda: ("kal", "slt"))
    assert run(["say", "a", "-o", str(tmp_path / "a.wav"), "--engine", "flite", "--voice", "nope"]) == 2
    assert "--voice: got 'nope', accepted: kal, slt" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
