"""Several characters on one clock: no cross-talk, still listeners, streaming equal to offline, seeds and takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from facerig.controls import place
from facerig.curves import concat
from facerig.dialogue import Character, Dialogue, Line, Script, perform, play, script
from facerig.dialogue.play import timeline
from facerig.dialogue.voices import Sound
from facerig.pipeline import Animator
from facerig.rig import rig
from facerig.stage import FPS, RATE, SAMPLES
from facerig.transcript.speak import Said

SPEECH = rig("facerig").region("jaw", "lips", "tongue")
# What listeners may move without a word: corners of the mouth (smiles and frowns at what they hear).
SMILES = tuple(name for name in SPEECH if name.startswith(("mouthSmile", "mouthFrown", "mouthDimple", "mouthPress")))
SAID = tuple(name for name in SPEECH if name not in SMILES)


@pytest.fixture(scope="module")
def animator() -> Animator:
    """The shipped model, alive."""
    return Animator.load(alive=True, block=20)


@pytest.fixture(scope="module")
def fake() -> Animator:
    return Animator.load(model="fake", alive=True, block=30)


def voiced(seconds: float, seed: int = 0) -> Sound:
    """Syllables of a voice: a pulse train through two formants, four a second."""
    count = round(seconds * FPS) * SAMPLES
    time = np.arange(count) / RATE
    pitch = 110 + 40 * (seed % 3) + 15 * np.sin(2 * np.pi * 0.7 * time + seed)
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
    ring = np.arange(400) / RATE
    formants = sum(np.exp(-ring * 300) * np.sin(2 * np.pi * f * ring) for f in (500 + 90 * seed % 400, 1400))
    loud = np.clip(np.sin(2 * np.pi * 4 * time), 0, 1) ** 0.5
    samples = np.convolve(pulses, formants)[:count] * loud * 0.25
    return Sound(samples.astype(np.float32).reshape(-1, SAMPLES))


def scene(**more: object) -> tuple[Script, list[Sound]]:
    """Two who talk, with an overlap, emotions and acts."""
    people = (Character("anna", seat=(-0.6, 0.0), attitude={"ben": 0.5}), Character("ben", seat=(0.6, 0.0)))
    lines = (
        Line("anna", "Did you hear that?", None, "worried", 0.8, "question", at=0.7, number=0),
        Line("ben", "No, nothing.", None, "", 1.0, "disagreement", at=2.4, number=1),
        Line("anna", "I am sorry.", None, "sad", 0.7, "apology", at=3.6, number=2, preset="shy"),
        Line("ben", "Never mind!", None, "happy", 0.5, "exclamation", at=5.4, number=3),
    )
    return Script(people, lines, seed=3, tail=0.6, **more), [voiced(t, k) for k, t in enumerate((1.4, 1.5, 1.6, 1.0))]


# ---- laws -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["anna", "ben"])
def test_speech_is_the_same_alone_and_in_company(animator: Animator, name: str) -> None:
    """Zero cross-talk: jaw, lips and tongue, bit for bit, over all that a character says."""
    both, sounds = scene()
    own = [sound for sound, line in zip(sounds, both.lines, strict=True) if line.who == name]
    together = play(both, animator, sounds=sounds)
    alone = play(both.alone(name), animator, sounds=own)
    for line in [each for each in together.placed if each.line.who == name]:
        first, last = line.start - 6, line.end + 6
        rows = [take.tracks[name].slice(first, last).select(SPEECH).values for take in (together, alone)]
        assert np.array_equal(*rows), [SPEECH[k] for k in np.flatnonzero((rows[0] != rows[1]).any(axis=0))]
    still = together.tracks[name].select([c for c in together.tracks[name].channels if c not in SPEECH])
    lonely = alone.tracks[name].select(still.channels)
    assert not np.array_equal(still.values[: lonely.frames], lonely.values[: still.frames])  # company shows elsewhere


def test_who_listens_keeps_the_mouth_still(animator: Animator) -> None:
    """Mouth energy of non-speakers: at most 5 % of the speaker's. Corners may still let go of what was felt."""
    both, sounds = scene()
    made = play(both, animator, sounds=sounds)
    spans = {name: [(p.start, p.end) for p in made.placed if p.line.who == name] for name in made.tracks}
    for name, other in (("anna", "ben"), ("ben", "anna")):
        for start, end in spans[name]:
            free = [k for k in range(start + 12, end) if all(not a - 15 <= k < b + 15 for a, b in spans[other])]
            speaks, listens = (np.diff(made.tracks[who].select(SAID).values, axis=0)[free] for who in (name, other))
            assert len(free) > 20
            assert np.square(listens).sum() <= 0.05 * np.square(speaks).sum()


def test_a_stream_cut_anywhere_is_the_performance(animator: Animator) -> None:
    """The online form: the same frames, bit for bit, and turns announced one by one."""
    both, sounds = scene()
    whole = play(both, animator, sounds=sounds)
    dialogue = Dialogue(animator, both, seed=both.seed)
    turns = timeline(both, sounds)
    parts: dict[str, list[object]] = {name: [] for name in whole.tracks}
    rng, at, waiting = np.random.default_rng(1), 0, list(turns)
    while at < len(whole.mix):
        while waiting and waiting[0].start < at // SAMPLES + 90:  # a second and a half ahead
            each = waiting.pop(0)
            dialogue.announce(each.line.who, each.start / FPS, each.end / FPS, each.line.emotion, each.line.intensity,
                              each.line.act, each.line.to, each.line.preset)  # fmt: skip
        count = int(rng.integers(1, 9000))
        made = dialogue.push({name: samples[at : at + count] for name, samples in whole.sounds.items()})
        for name, curves in made.items():
            parts[name].append(curves)
        at += count
    for name, curves in dialogue.flush().items():
        joined = concat([part for part in (*parts[name], curves) if part.frames])
        assert np.array_equal(joined.values, whole.tracks[name].values)
        assert joined.start == 0


def test_seeds_and_takes(fake: Animator) -> None:
    both, sounds = scene()
    first, again, second = (play(both, fake, take=take, sounds=sounds).tracks for take in (1, 1, 2))
    other = play(both, fake, seed=99, sounds=sounds).tracks
    for name in first:
        assert first[name] == again[name]
        for changed in (second, other):
            assert np.array_equal(first[name].select(SAID).values, changed[name].select(SAID).values)
            assert not np.array_equal(first[name].values, changed[name].values)


def test_all_tracks_share_a_clock_and_a_length(fake: Animator) -> None:
    both, sounds = scene()
    made = play(both, fake, sounds=sounds)
    assert {(c.start, c.fps, c.frames) for c in made.tracks.values()} == {(0, FPS, made.frames)}
    assert len(made.mix) == made.frames * SAMPLES
    lines = [mark for mark in made.tracks["anna"].marks if mark.kind == "line"]
    assert [(m.start, m.label) for m in lines] == [(42, "Did you hear that?"), (216, "I am sorry.")]
    emotions = [mark.label for mark in made.tracks["anna"].marks if mark.kind == "emotion"]
    assert emotions == ["fear:0.28,sad:0.24", "sad:0.7"]


def test_who_is_left_out_of_a_push_is_silent(fake: Animator) -> None:
    samples = voiced(1.0).frames.reshape(-1)
    told, left = (Dialogue(fake, [Character("a"), Character("b")]) for _ in range(2))
    told.push({"a": samples, "b": np.zeros_like(samples)})
    left.push({"a": samples})
    assert told.flush()["b"] == left.flush()["b"]


# ---- what happens around a line ---------------------------------------------------------------------------------


def rows_of(both: Script, sounds: list[Sound], animator: Animator) -> dict[str, np.ndarray]:
    """The control rows that each character was given."""
    dialogue = Dialogue(animator, both, seed=both.seed)
    given: dict[str, list[np.ndarray]] = {name: [] for name in dialogue.names}
    for name, controls in dialogue.controls.items():
        def kept(first: int, count: int, name: str = name, rows: object = controls.rows) -> np.ndarray:
            given[name].append(rows(first, count))
            return given[name][-1]
        controls.rows = kept  # type: ignore[method-assign]
    placed = timeline(both, sounds)
    for each in placed:
        dialogue.turn(_turn(each))
    total = placed[-1].end + 60
    tracks = {name: np.zeros((total, SAMPLES), np.float32) for name in dialogue.names}
    for each in placed:
        tracks[each.line.who][each.start : each.end] = each.sound.frames
    dialogue.push({name: frames.reshape(-1) for name, frames in tracks.items()})
    dialogue.flush()
    return {name: np.concatenate(rows) for name, rows in given.items()}


def _turn(placed: object) -> object:
    from facerig.dialogue.play import turn_of

    return turn_of(placed)


def test_listeners_listen_and_look_at_who_speaks(fake: Animator) -> None:
    people = (Character("a", seat=(-1.0, 0.0)), Character("b", seat=(1.0, 0.0)), Character("c", seat=(0.0, 1.0)))
    both = Script(people, (Line("a", "words", at=1.0), Line("b", "words", at=3.0, number=1)))
    rows = rows_of(both, [voiced(1.5), voiced(1.5, 1)], fake)
    middle = {"a": round(2.0 * FPS), "b": round(4.0 * FPS)}
    seats = both.seats()
    from facerig.dialogue.seats import look

    for speaker, frame in middle.items():
        for name in "abc":
            row = rows[name][frame]
            assert row[place("state:speaking" if name == speaker else "state:listening")] == 1
            if name != speaker:
                wanted = look(seats[name], seats[speaker])
                assert row[place("look:yaw")] == pytest.approx(wanted.yaw, abs=0.01)
                assert row[place("look:held")] == pytest.approx(0.8)
                assert row[place("partner:voice")] > 0.5
    angles = [rows[name][middle[other], place("look:yaw")] for name, other in (("a", "b"), ("b", "a"))]
    assert angles[0] == pytest.approx(-angles[1], abs=0.01)  # mirrored seats
    assert angles[0] < -5  # who faces b and c sees b to the own right


def test_turns_are_prepared(fake: Animator) -> None:
    """A breath and the open state before the own line; a thought where the silence was long."""
    both = Script((Character("a"), Character("b")), (Line("a", "x", at=0.6), Line("b", "y", at=4.5, number=1)))
    rows = rows_of(both, [voiced(1.0), voiced(2.0, 1)], fake)["b"]
    start = round(4.5 * FPS)
    assert rows[start - 22, place("state:thinking")] > 0.9
    assert rows[start - 8, place("state:speaking")] == 1
    assert rows[start - 10, place("pose:pitch")] > 1.0
    assert rows[start - 60, place("pose:pitch")] == 0.0


def test_partner_columns_are_what_the_other_says(fake: Animator) -> None:
    both, sounds = scene()
    rows = rows_of(both, sounds, fake)
    turns = timeline(both, sounds)
    first = turns[0]  # anna's
    heard = rows["ben"][first.start + 20 : first.end, place("partner:energy")]
    assert heard.max() > 0.3
    assert np.all(rows["anna"][: first.end, place("partner:voice")] == 0)  # nobody else spoke yet


def test_contagion_moves_the_mood_and_zero_does_not(fake: Animator) -> None:
    both, sounds = scene()
    calm = rows_of(both, sounds, fake)["ben"]
    people = (both.characters[0], replace(both.characters[1], contagion=1.0))
    moved = rows_of(replace(both, characters=people), sounds, fake)["ben"]
    fear = place("emotion:fear")
    before = slice(0, round(2.0 * FPS))
    assert calm[before, fear].max() == 0
    assert moved[before, fear].max() > 0.1


def test_interrupting_cuts_the_other_short(fake: Animator) -> None:
    people = (Character("a"), Character("b"))
    lines = (Line("a", "x", at=0.5), Line("b", "y", gap=-1.0, interrupts=True, number=1))
    placed = timeline(Script(people, lines), [voiced(2.0), voiced(1.0, 1)])
    assert placed[0].cut
    assert placed[0].end == placed[1].start + 9
    assert abs(placed[0].sound.frames[-1, -1]) < 1e-3
    made = play(Script(people, lines), fake, sounds=[voiced(2.0), voiced(1.0, 1)])
    assert made.tracks["a"].slice(placed[0].end + 15, placed[0].end + 40)["jawOpen"].max() < 0.02


def test_an_open_turn_ends_when_it_is_told(fake: Animator) -> None:
    dialogue = Dialogue(fake, [Character("a"), Character("b")])
    number = dialogue.announce("a", 0.7)
    quiet = np.zeros(RATE * 7 // 10, np.float32)
    made = [dialogue.push({"a": np.concatenate([quiet, voiced(1.0).frames.reshape(-1)])})]
    dialogue.end(number)
    made.append(dialogue.push({"a": np.zeros(RATE, np.float32)}))
    made.append(dialogue.flush())
    assert sum(each["a"].frames for each in made) == round(2.7 * FPS)
    assert not dialogue.director._active


def test_turns_may_be_followed_by_voice(fake: Animator) -> None:
    dialogue = Dialogue(fake, [Character("a"), Character("b")], follow=True)
    quiet = np.zeros(RATE, np.float32)
    dialogue.push({"b": np.concatenate([quiet, voiced(1.5).frames.reshape(-1), quiet])})
    turns = [felt.who for felt in dialogue.director.log]
    assert turns == ["b"]
    assert not dialogue.director._active


def test_a_long_stream_stays_small(fake: Animator) -> None:
    """A server's dialogue: courses, cues and what was heard do not grow."""
    dialogue = Dialogue(fake, [Character("a", preset="nervous"), Character("b")])
    sizes = []
    for k in range(24):
        dialogue.announce("ab"[k % 2], k + 0.7, k + 1.4, "happy", act="agreement")
        dialogue.push({"a": np.zeros(RATE, np.float32)})
        director = dialogue.director
        sizes.append((len(director._turns), len(director._cues), len(director.parts["a"].course.gestures),
                      len(dialogue.controls["a"].heard)))
    assert max(sizes[14:]) <= max(sizes[:14])
    assert all(size <= limit for size, limit in zip(sizes[-1], (4, 60, 90, 30), strict=True))


@pytest.mark.parametrize(("bad", "message"), [
    (lambda d: d.push({"c": [0.0]}), "accepted: 'a, b'|accepted: a, b"),
    (lambda d: d.push({"a": np.zeros(3, np.float32), "b": np.zeros(4, np.float32)}), "as many samples"),
    (lambda d: d.push({"a": [float("nan")]}), "finite"),
    (lambda d: d.announce("c", 0), "who"),
    (lambda d: d.announce("a", -1), "start"),
    (lambda d: d.announce("a", 2, 1), "end"),
    (lambda d: d.announce("a", 0, emotion="hapy"), "happy"),
    (lambda d: d.announce("a", 0, act="sing"), "act"),
    (lambda d: d.announce("a", 0, preset="sing"), "preset"),
    (lambda d: d.announce("a", 0, to=["a"]), "to"),
    (lambda d: d.announce("a", 0, controls={"nope": 1}), "nope"),
    (lambda d: d.announce("a", 0, controls={"look:yaw": float("nan")}), "look:yaw: got nan"),
    (lambda d: d.announce("a", 0, controls={"gain:jaw": 99}), "gain:jaw: got 99"),
    (lambda d: d.end(1), "number: got 1"),
    (lambda d: d.end(d.announce("a", 0), float("nan")), "at: got nan"),
    (lambda d: d.end(d.announce("a", 0), -5), "at: got -5"),
    (lambda d: (d.flush(), d.push({})), "after flush"),
    (lambda d: (d.flush(), d.flush()), "second flush"),
])  # fmt: skip
def test_wrong_use_says_what_is_accepted(fake: Animator, bad: object, message: str) -> None:
    from facerig.errors import FacerigError

    with pytest.raises(FacerigError, match=message):
        bad(Dialogue(fake, [Character("a"), Character("b")]))  # type: ignore[operator]


# ---- text and files ---------------------------------------------------------------------------------------------


def engine(voice: str) -> object:
    """A word is a fifth of a second of voice, higher for one speaker."""

    def say(text: str) -> Said:
        samples = voiced(0.2 * len(text.split()), len(voice)).frames.reshape(-1)
        return Said(samples, RATE)

    return say


def test_text_is_spoken_and_tags_change_the_emotion(fake: Animator) -> None:
    text = """
characters: [anna, ben]
lines:
  - anna: "[happy] Well well well [pause:0.4] [sad:0.6] oh no no"
  - {ben: Yes., gap: 0.3}
"""
    tracks = perform(script(text), fake, voices=engine)  # type: ignore[arg-type]
    labels = [mark for mark in tracks["anna"].marks if mark.kind == "emotion"]
    assert [mark.label for mark in labels] == ["happy:1", "sad:0.6"]
    assert labels[0].end == labels[1].start > labels[0].start
    ben = next(mark for mark in tracks["ben"].marks if mark.kind == "line")
    anna = next(mark for mark in tracks["anna"].marks if mark.kind == "line")
    assert ben.start == anna.end + 18


def test_audio_files_of_any_rate(fake: Animator, tmp_path: Path) -> None:
    for name, rate in (("one", 16_000), ("two", 48_000)):
        soundfile.write(tmp_path / f"{name}.wav", np.random.default_rng(0).normal(0, 0.1, rate), rate)
    lines = "- {who: a, audio: one.wav}\n- {who: b, audio: two.wav}"
    (tmp_path / "s.yaml").write_text(f"characters: [a, b]\nlines:\n{lines}")
    tracks = perform(tmp_path / "s.yaml", fake)
    spans = [[(m.start, m.end) for m in track.marks if m.kind == "line"] for track in tracks.values()]
    assert spans == [[(36, 96)], [(108, 168)]]


def test_lines_of_a_character_do_not_overlap() -> None:
    from facerig.errors import InputError

    lines = (Line("a", "x", at=0.5, place=4), Line("a", "y", at=1.0, place=5, number=1))
    with pytest.raises(InputError, match=r"line 5: a's line begins 0\.50 s before"):
        timeline(Script((Character("a"),), lines), [voiced(1.0), voiced(1.0)])
    with pytest.raises(InputError, match=r"1\.00 s before the dialogue"):
        timeline(Script((Character("a"),), (Line("a", "x", gap=-1.0),)), [voiced(1.0)])


def test_known_words_sharpen_lips_and_change_nothing_else(animator: Animator) -> None:
    """Offline, where every line has its words: mouth and tongue by them, cut short or not; eyes and head as before."""
    people = (Character("a"), Character("b"))
    lines = (Line("a", "papa buys a baby map", at=0.5), Line("b", "no", gap=-0.6, interrupts=True, number=1))
    sounds = [voiced(1.6), voiced(0.8, 1)]
    heard, known = (play(Script(people, lines, tail=0.5), animator, sounds=sounds, known_text=text) for text in (0, 1))
    for name in "ab":
        one, two = heard.tracks[name], known.tracks[name]
        assert (one.channels, one.frames, one.start) == (two.channels, two.frames, two.start)
        assert np.array_equal(one.select(("headYaw", "headPitch", "eyeBlinkLeft")).values,
                              two.select(("headYaw", "headPitch", "eyeBlinkLeft")).values)  # fmt: skip
        assert not np.array_equal(one.select(SPEECH).values, two.select(SPEECH).values)
    units = [mark for mark in known.tracks["a"].marks if mark.kind == "phone"]
    assert len(units) > 5
    assert max(mark.end for mark in units) <= known.placed[0].end
    assert not [mark for mark in heard.tracks["a"].marks if mark.kind == "phone"]


def test_a_line_without_a_word_is_animated_by_ear(animator: Animator) -> None:
    script = Script((Character("a"),), (Line("a", "..."),))
    known = play(script, animator, sounds=[voiced(0.8)], known_text=True).tracks["a"]
    assert np.array_equal(known.values, play(script, animator, sounds=[voiced(0.8)]).tracks["a"].values)


def test_real_voices_keep_the_laws(animator: Animator, shared_data: Path) -> None:
    """Recorded speech, three people: still listeners, and the same lips alone and in company."""
    from facerig.dialogue.report import mouth_energy

    found = sorted((shared_data / "emodb" / "audio").glob("*.flac"))
    clips = [clip for speaker in ("03", "08", "10") for clip in found if clip.name.startswith(speaker)][::40][:3]
    people = (Character("a", attitude={"b": 0.9}), Character("b", attitude={"c": -0.9}, contagion=0.5), Character("c"))
    lines = tuple(Line("abc"[k % 3], "", clips[k % 3], "happy", at=0.5 + 4.0 * k, act="agreement", number=k)
                  for k in range(3))  # fmt: skip
    both = Script(people, lines)
    made = play(both, animator)
    assert all(person["share"] <= 0.05 for person in mouth_energy(made).values())
    alone = play(both.alone("c"), animator)
    line = made.placed[2]
    rows = [each.tracks["c"].slice(line.start - 6, line.end + 6).select(SPEECH).values for each in (made, alone)]
    assert np.array_equal(*rows)
