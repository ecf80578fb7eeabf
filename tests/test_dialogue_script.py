"""Scripts: what is read, and fifty ways to get one wrong: our error with file and line, and nothing written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facerig.cli import run
from facerig.dialogue import script
from facerig.dialogue.mood import Personality
from facerig.dialogue.reader import CHARACTER_KEYS, LINE_KEYS, SCRIPT_KEYS, read_script
from facerig.dialogue.seats import Seat, look, ring
from facerig.emotion.space import Vad
from facerig.errors import FacerigError, InputError

FULL = """
version: 1
title: At the door
seed: 5
gap: 0.3
tail: 2
language: en
characters:
  anna:
    voice: en-us+f3
    seat: [-0.6, 0.1]
    eyes: 1.6
    personality: {extraversion: 0.9, neuroticism: high}
    mood: worried
    attitude: {ben: 0.4}
    preset: warm
    contagion: 0.5
    seed: 11
  ben:
    seat: {azimuth: 0, distance: 0.7}
    facing: 180
    personality: [0.1, 0.2, 0.3, 0.4, 0.5]
    mood: {valence: -0.2, arousal: 0.5}
lines:
  - anna: "No? [sad] Really?"
  - ben: Never!
    emotion: happy:0.7,surprise:0.2
    intensity: 0.6
    act: disagree
    overlap: 0.25
    to: anna
    preset: hesitant
    interrupts: yes
    controls: {pose:pitch: -5}
  - {who: anna, text: Hello., at: 9.5, to: [ben]}
"""


def test_everything_that_may_stand_in_a_script() -> None:
    read = script(FULL)
    anna, ben = read.characters
    assert (read.title, read.seed, read.gap, read.tail, read.language) == ("At the door", 5, 0.3, 2.0, "en")
    assert (anna.voice, anna.seat, anna.eyes) == ("en-us+f3", (-0.6, 0.1), 1.6)
    assert (anna.preset, anna.contagion, anna.seed, dict(anna.attitude)) == ("warm", 0.5, 11, {"ben": 0.4})
    assert anna.personality == Personality(extraversion=0.9, neuroticism=0.8)
    assert ben.personality == Personality(0.1, 0.2, 0.3, 0.4, 0.5)
    assert anna.mood == Vad(-0.45, 0.35, -0.35)
    assert ben.mood == Vad(-0.2, 0.5, 0.0)
    assert ben.seat == (0.7, 0.0)
    first, second, third = read.lines
    assert (first.who, first.act, first.guessed, first.gap) == ("anna", "question", True, None)
    assert (second.act, second.guessed, second.gap, second.to) == ("disagreement", False, -0.25, ("anna",))
    assert (second.mixture, second.intensity) == ({"happy": 0.7, "surprise": 0.2}, 0.6)
    assert (second.preset, second.interrupts, dict(second.controls)) == ("hesitant", True, {"pose:pitch": -5.0})
    assert (third.at, third.to, third.place) == (9.5, ("ben",), 35)


def test_json_says_the_same() -> None:
    read = script(FULL)
    again = script(json.dumps(yaml.safe_load(FULL), indent="\t"), as_json=True)
    assert again.characters == read.characters
    assert [line.text for line in again.lines] == [line.text for line in read.lines]
    emoji = script('{"characters": ["a"],\r\n\t"lines": [{"a": "\\ud83d\\ude00 yes\\/no"}]}', as_json=True)
    assert emoji.lines[0].text == "\U0001f600 yes/no"


def test_names_that_yaml_takes_for_other_things() -> None:
    read = script("characters: [no, on, 'null', 12]\nlines:\n- no: yes\n- on: off\n- 12: 1e3")
    assert [one.name for one in read.characters] == ["no", "on", "null", "12"]
    assert [line.text for line in read.lines] == ["yes", "off", "1e3"]


# (what is wrong, the script, what the message says)
GOOD = "characters: [anna, ben]\nlines:\n"
BAD: tuple[tuple[str, str, str], ...] = (
    ("empty", "", "is empty"),
    ("no table", "just words", "accepted: a table with"),
    ("a list", "- a\n- b", "accepted: a table with"),
    ("no YAML", "characters: [a\nlines: {", "line 2: no YAML"),
    ("a tab", "characters:\n\t- a", "line 2: no YAML"),
    ("unknown key", "charakters: [a]\nlines: []", "line 1.*did you mean characters"),
    ("no lines", "characters: [a]", "lines are missing"),
    ("lines without entries", "characters: [a]\nlines: []", "a line or more"),
    ("lines no list", "characters: [a]\nlines: {a: b}", "line 2: lines: got a table"),
    ("nobody", "characters: []\nlines: [{a: b}]", "got 0, accepted: 1 to 32"),
    ("too many", f"characters: [{', '.join(f'p{k}' for k in range(33))}]\nlines: [p1: hi]", "up to 32|1 to 32"),
    ("twice", "characters:\n  a:\n  a:\nlines: [a: hi]", "line 3: characters: 'a' stands twice"),
    ("same file", "characters: [Ann, ann]\nlines: [ann: hi]", "same file"),
    ("a bad name", "characters: ['../x']\nlines: [a: hi]", "the name '../x'"),
    ("a name that is a key", "characters: [text]\nlines: [text: hi]", "none of who"),
    ("version", f"version: 2\n{GOOD}- anna: hi", "version: got '2', accepted: 1"),
    ("seed", f"seed: 1.5\n{GOOD}- anna: hi", "a whole number"),
    ("unknown speaker", f"{GOOD}- who: bob\n  text: hi", "line 3: lines: 1: who: got 'bob', accepted: anna, ben"),
    ("nobody speaks", f"{GOOD}- text: hi", "got 0 speakers"),
    ("two speak", f"{GOOD}- anna: hi\n  ben: ho", "got 2 speakers"),
    ("nothing said", f"{GOOD}- who: anna", "neither text nor audio"),
    ("text twice", f"{GOOD}- anna: hi\n  text: ho", "text twice"),
    ("unknown line key", f"{GOOD}- anna: hi\n  emotoin: sad", "line 4: .*did you mean emotion"),
    ("emotion", f"{GOOD}- anna: hi\n  emotion: hapy", "line 4: emotion: got 'hapy'.*did you mean happy"),
    ("weights", f"{GOOD}- anna: hi\n  emotion: 'happy:2'", "line 4: emotion.*0 to 1"),
    ("intensity", f"{GOOD}- anna: hi\n  intensity: 1.2", "line 4: lines: 1: intensity: got '1.2', accepted: a number"),
    ("quoted number", f"{GOOD}- anna: hi\n  intensity: '0.5'", "intensity: got '0.5'"),
    ("act", f"{GOOD}- anna: hi\n  act: quetsion", "did you mean question"),
    ("gap", f"{GOOD}- anna: hi\n  gap: soon", "gap: got 'soon', accepted: a number from -60 to 60 seconds"),
    ("nan", f"{GOOD}- anna: hi\n  gap: .nan", "gap: got '.nan'"),
    ("gap and at", f"{GOOD}- anna: hi\n  gap: 1\n  at: 2", "got gap and at"),
    ("no such file", f"{GOOD}- who: anna\n  audio: none.wav", "none.wav: no such file"),
    ("too long a file", f"{GOOD}- who: anna\n  audio: {'n' * 304}.wav", "line 4: .*no such file"),
    ("tag", f"{GOOD}- anna: '[hapy] hi'", "did you mean happy"),
    ("preset", f"{GOOD}- anna: hi\n  preset: hesitent", "did you mean hesitant"),
    ("to oneself", f"{GOOD}- anna: hi\n  to: anna", "to: got 'anna', accepted: ben"),
    ("control", f"{GOOD}- anna: hi\n  controls: {{pose:yw: 3}}", "did you mean pose:yaw"),
    ("control's range", f"{GOOD}- anna: hi\n  controls: {{heard: 3}}", "heard: got '3'"),
    ("seat", "characters:\n  a: {seat: 3}\nlines: [a: hi]", "line 2: characters: a: seat"),
    ("one seat for two", "characters:\n  a: {seat: [1, 1]}\n  b: {seat: [1, 1]}\nlines: [a: hi]", "on one seat"),
    ("a seat is missing", "characters:\n  a: {seat: [1, 1]}\n  b:\nlines: [a: hi]", "b has no seat"),
    ("personality", "characters:\n  a: {personality: {openess: 1}}\nlines: [a: hi]", "did you mean openness"),
    ("four numbers", "characters:\n  a: {personality: [1, 1, 1, 1]}\nlines: [a: hi]", "got 4 numbers"),
    ("attitude to nobody", "characters:\n  a: {attitude: {c: 1}}\n  b:\nlines: [a: hi]", "got 'c', accepted: b"),
    ("mood", "characters:\n  a: {mood: {valence: 2}}\nlines: [a: hi]", "mood: valence: got '2'"),
    ("python tag", "characters: !!python/object/apply:os.system [a]\nlines: [a: hi]", "line 1: got the tag"),
    ("an alias to itself", "characters: &a [*a]\nlines: [a: hi]", "characters"),
    ("deep", "characters: " + "[" * 3000, "no YAML|is no"),
    ("two documents", "a: 1\n---\nb: 2", "no YAML"),
)


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_script_says_where_and_what(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                          ) -> None:
    file, out = tmp_path / "scene.yaml", tmp_path / "out"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_script(file)
    assert run(["dialogue", str(file), "-o", str(out), "--model", "fake"]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"facerig: error: {file}")
    assert said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(("name", "data", "message"), [
    ("s.txt", b"characters: [a]", "accepted: .yaml, .yml, .json"), ("s.yaml", b"\xff\xfe\x00", "UTF-8"),
    ("s.json", b"{'a': 1}", "line 1: no JSON"), ("s.json", b'{\n"a": 1,}', "line 2: no JSON"),
    ("s.yaml", b"# " + b"x" * 1_000_001, "over 1000000 bytes"), ("s.yaml", b"a: \x01", "no YAML"),
])  # fmt: skip
def test_bad_files(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_script(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read_script(tmp_path / "absent.yaml")


def read_or_refused(text: str, as_json: bool) -> bool:
    try:
        script(text, as_json=as_json)
    except FacerigError as error:
        message = str(error)
    else:
        return True
    assert "\n" not in message
    return False


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-3, 3) | st.text(max_size=8)
    | st.sampled_from(["anna", "ben", "happy", "question", "hesitant", "[sad] x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*SCRIPT_KEYS, *CHARACTER_KEYS, *LINE_KEYS, "anna", "ben"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


LINES = st.lists(st.dictionaries(st.sampled_from([*LINE_KEYS, "anna"]), VALUES, max_size=5), max_size=3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({"characters": st.just(["anna", "ben"]) | VALUES, "lines": LINES | VALUES}))
def test_whatever_stands_there_is_read_or_refused(content: object) -> None:
    """Never another error than ours, and the same from YAML and JSON."""
    outcomes = [read_or_refused(json.dumps(content), True),
                read_or_refused(yaml.safe_dump(content, allow_unicode=True), False)]
    assert outcomes[0] == outcomes[1]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.booleans())
@example("&a [*a, *a]", False)
@example("[" * 60, True)
def test_any_text_is_read_or_refused(text: str, as_json: bool) -> None:
    read_or_refused(text, as_json)


# ---- seats --------------------------------------------------------------------------------------------------------


def test_angles_between_seats() -> None:
    me = Seat(0, 0, 1.2, 90)  # looks away from who looks on: along y
    left, right = (look(me, Seat(x, 1, 1.2, 0)) for x in (-1, 1))
    assert left.yaw == pytest.approx(45)
    assert right.yaw == pytest.approx(-45)
    assert look(me, Seat(0, 1, 2.2, 0)).pitch == pytest.approx(45)
    assert look(me, Seat(0, -1, 1.2, 0)).yaw in (75, -75)  # nobody looks behind: as far as people turn


@given(st.integers(2, 32))
def test_a_ring_has_room_for_all(count: int) -> None:
    places = ring(count)
    near = min(abs(a[0] - b[0]) + abs(a[1] - b[1]) for k, a in enumerate(places) for b in places[:k])
    assert near > 0.7


# ---- the command ----------------------------------------------------------------------------------------------------

SCENE = f"{GOOD}- {{who: anna, audio: a.wav, act: question}}\n- {{who: ben, audio: a.wav, emotion: happy}}\n"


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    import numpy as np
    import soundfile

    time = np.arange(12_000) / 16_000
    soundfile.write(tmp_path / "a.wav", np.sin(900 * time) * np.sin(20 * time) ** 2 * 0.3, 16_000)
    (tmp_path / "scene.yaml").write_text(SCENE)
    return tmp_path / "scene.yaml"


def test_the_command_writes_tracks_sound_and_summary(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import exporters
    from facerig.audio import read

    out = scene.parent / "out"
    memory = scene.parent / "memory"
    line = ["dialogue", str(scene), "-o", str(out), "--format", "csv npz", "--model", "fake", "--fps", "30", "--json",
            "--wav", "both", "--memory", str(memory)]
    assert run(line) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["characters"], told["lines"], told["takes"]) == (["anna", "ben"], 2, 1)
    assert sorted(p.name for p in out.iterdir()) == [
        "anna.npz", "anna.wav", "ben.npz", "ben.wav", "scene.json", "scene.wav", "scene_1_anna_cal.csv",
        "scene_1_ben_cal.csv"]  # fmt: skip
    tracks = [exporters.read(out / f"{name}.npz") for name in ("anna", "ben")]
    assert {(t.fps, t.frames, t.start) for t in tracks} == {(30, round(told["seconds"] * 30), 0)}
    assert read(out / "scene.wav").seconds == pytest.approx(told["seconds"], abs=1 / 60)
    summary = json.loads((out / "scene.json").read_text())
    assert [(each["who"], each["act"], each["act_guessed"]) for each in summary["lines"]] == [
        ("anna", "question", False), ("ben", "statement", True)]
    assert summary["lines"][1]["start"] == pytest.approx(summary["lines"][0]["end"] + 0.2, abs=1 / 60)
    assert summary["characters"]["anna"]["mouth"]["share"] <= 0.05
    kept = json.loads((memory / "anna.json").read_text())["towards"]["ben"]
    assert kept["lines"] == 1
    assert kept["attitude"] > 0
    assert run([*line[:-2], "--memory", str(memory)]) == 0  # and on from there
    assert json.loads((memory / "anna.json").read_text())["towards"]["ben"]["lines"] == 2


def test_takes_differ_and_seeds_repeat(scene: Path) -> None:
    out, again = scene.parent / "out", scene.parent / "again"
    base = ["dialogue", str(scene), "--model", "fake", "--format", "npz", "--seed", "4"]
    assert run([*base, "-o", str(out), "--takes", "2"]) == 0
    assert run([*base[:-1], "5", "-o", str(again)]) == 0
    first, second = ((out / f"anna_take{k}.npz").read_bytes() for k in (1, 2))
    assert first != second
    assert (again / "anna.npz").read_bytes() == second
    assert {p.name for p in out.iterdir()} == {
        *(f"{name}_take{k}.npz" for name in ("anna", "ben") for k in (1, 2)),
        *(f"scene_take{k}{suffix}" for k in (1, 2) for suffix in (".wav", ".json"))}


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--fps", "29"], 2, "--fps"), (["--wav", "loud"], 2, "mix, each, both, none"), (["--format", "exe"], 2, "format"),
    (["--takes", "0"], 2, "takes"), (["--preview", "gif"], 2, "preview"), (["--rig", "nobody"], 2, "rig"),
    (["--model", "nobody"], 6, "model"), (["--head", "nobody.xyz", "--format", "glb"], 3, "nobody"),
    (["--command", "say"], 2, "{text}"), (["--seed", "-1"], 2, "seed"),
])  # fmt: skip
def test_bad_options_write_nothing(scene: Path, options: list[str], code: int, message: str,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    if "--command" in options:
        scene.write_text(f"{GOOD}- anna: hi")
    out = scene.parent / "out"
    assert run(["dialogue", str(scene), "-o", str(out), "--model", "fake", *options]) == code
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_damaged_audio_and_memory_write_nothing(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, memory = scene.parent / "out", scene.parent / "memory"
    memory.mkdir()
    (memory / "ben.json").write_text('{"format": "facerig-attitudes"}')
    line = ["dialogue", str(scene), "-o", str(out), "--model", "fake"]
    assert run([*line, "--memory", str(memory)]) == 3
    assert "format, version, character, towards" in capsys.readouterr().err
    (scene.parent / "a.wav").write_bytes(b"no sound")
    assert run(line) == 3
    assert "line 3 of the script (anna)" in capsys.readouterr().err
    (scene.parent / "a.wav").unlink()
    assert run(line) == 3
    assert not out.exists()


def test_an_out_that_is_a_file(scene: Path) -> None:
    assert run(["dialogue", str(scene), "-o", str(scene), "--model", "fake"]) == 2
    assert scene.read_text() == SCENE


@pytest.mark.parametrize(("script", "audio", "options", "message"), [
    ("scene.json", "a.wav", ["-o", "."], "scene.json would overwrite the script"),
    ("scene.yaml", "anna.wav", ["-o", ".", "--wav", "each"], "anna.wav would overwrite the audio of line 1"),
    ("scene.yaml", "scene.wav", ["-o", "."], "scene.wav would overwrite the audio of line 1"),
    ("scene.yaml", "scene_take2.wav", ["-o", ".", "--takes", "2"], "would overwrite the audio of line 1"),
    ("scene.yaml", "a.wav", ["-o", "n", "--memory", "m/../n", "--format", "json"], "overwrite the memory of anna"),
    ("anna.json", "a.wav", ["-o", "n", "--memory", "."], "anna.json would overwrite the script"),
])  # fmt: skip
def test_what_is_read_is_never_overwritten(script: str, audio: str, options: list[str], message: str, scene: Path,
                                           monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(scene.parent)
    scene.unlink()
    Path("a.wav").rename(audio)
    Path(script).write_text(json.dumps({"characters": ["anna", "ben"], "lines": [{"who": "anna", "audio": audio}]}))
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert run(["dialogue", script, *options, "--model", "fake"]) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_two_characters_never_share_a_file(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene.write_text(SCENE.replace("anna", "アンナ").replace("ben", "character1"))
    assert run(["dialogue", str(scene), "-o", str(scene.parent / "out"), "--model", "fake"]) == 2
    assert "two results would be written to" in capsys.readouterr().err


def test_names_of_other_scripts_get_files(scene: Path) -> None:
    scene.write_text(SCENE.replace("anna", "アンナ").replace("ben", "O'Ben Jr."))
    out = scene.parent / "out"
    assert run(["dialogue", str(scene), "-o", str(out), "--model", "fake", "--format", "csv npz"]) == 0
    assert {p.name for p in out.iterdir()} == {"アンナ.npz", "o-ben-jr.npz", "scene_1_character1_cal.csv",
                                               "scene_1_O-Ben-Jr_cal.csv", "scene.wav", "scene.json"}


@pytest.mark.skipif(not (shutil.which("espeak-ng") or shutil.which("flite")), reason="no speech engine is installed")
def test_the_shipped_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).resolve().parent.parent / "docs" / "examples" / "dialogue.yaml"
    if not shutil.which("espeak-ng"):  # its voices are espeak-ng's
        text = "\n".join(line for line in example.read_text().splitlines() if "voice:" not in line)
        example = tmp_path / "dialogue.yaml"
        example.write_text(text)
    assert run(["dialogue", str(example), "-o", str(tmp_path / "out"), "--format", "npz"]) == 0
    summary = json.loads((tmp_path / "out" / "dialogue.json").read_text())
    assert len(summary["lines"]) >= 6
    assert all(person["mouth"]["share"] <= 0.05 for person in summary["characters"].values())


def test_still_faces_and_words_left_out(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Speech alone: 68 channels, a listener's mouth at rest, eyes on the speaker all the same."""
    import exporters

    out = scene.parent / "out"
    line = ["dialogue", str(scene), "-o", str(out), "--model", "fake", "--still", "--by-ear", "--format", "npz"]
    assert run(line) == 0
    assert "2 characters, 2 lines" in capsys.readouterr().out
    track = exporters.read(out / "ben.npz")
    assert len(track.channels) == 68
    assert track.slice(60, 80)["jawOpen"].max() == 0
