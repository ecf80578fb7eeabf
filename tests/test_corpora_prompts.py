"""Recorded people in packages: where texts and recordings lie, what is left out, the packages' formats."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from facerig.errors import InputError
from facerig.files import write_file
from facerig.model import runtime
from facerig.phones import Timed, unit_index, units
from facerig.train.corpora import packages, prompts
from facerig.train.corpora.__main__ import fetch
from facerig.transcript import engines
from facerig.transcript.align import placed

soundfile = pytest.importorskip("soundfile")


def _tone(path: Path, seconds: float = 1.0, rate: int = 22050) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, wave.astype(np.float32), rate, format="OGG" if path.suffix == ".ogg" else None)


def _voice(name: str) -> prompts.Voice:
    return next(voice for voice in prompts.VOICES if voice.name == name)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packages, "roots", lambda: (tmp_path,))
    return tmp_path


def test_exchange_lines_without_comments_sounds_and_remarks(root: Path) -> None:
    text = "\ufeff; a comment\n\nhello: Hola (greeting).\nbeep: [tone]\ndigits/1: uno\nlost: nada\n"
    doc = root / "usr/share/doc/asterisk-core-sounds-es"
    doc.mkdir(parents=True)
    write_file(doc / "core-sounds-es.txt.gz", gzip.compress(text.encode()))
    sounds = root / "usr/share/asterisk/sounds/es_MX_f_Allison"
    for name in ("hello", "digits/1"):
        (sounds / name).parent.mkdir(parents=True, exist_ok=True)
        (sounds / f"{name}.g722").write_bytes(bytes(800))
    listed = prompts._listed(_voice("es-exchange"))
    assert [(name, text.split()) for name, text, _ in listed] == [("digits/1", ["uno"]), ("hello", ["Hola", "."])]


def test_stamps_take_the_line_of_their_own_language(root: Path) -> None:
    base = root / "usr/share/tuxpaint/stamps/animals"
    _tone(base / "dog_desc_es.ogg")
    _tone(base / "cat_desc_es.ogg")  # its text knows no Spanish
    (base / "dog.txt").write_text("A dog.\nes_MX.utf8=Un can.\nes.utf8=Un perro.\nfr.utf8=Un chien.\n", "utf-8")
    (base / "cat.txt").write_text("A cat.\nfr.utf8=Un chat.\n", "utf-8")
    assert [row[:2] for row in prompts._listed(_voice("es-stamps"))] == [("animals/dog_desc_es", "Un perro.")]
    assert prompts._listed(_voice("fr-stamps")) == []


def test_fish_talk_is_read_from_their_scripts(root: Path) -> None:
    base = root / "usr/share/games/fillets-ng"
    (base / "script/city").mkdir(parents=True)
    script = 'dialogId("vit-m-a", "font_small", "So, \\"what\\"?")\ndialogStr("Dus \\"wat\\"?")\n\n' \
             'dialogId("vit-v-b", "font_big", "Well.")\ndialogStr("Nou.")\n'
    (base / "script/city/dialogs_nl.lua").write_text(script, "utf-8")
    _tone(base / "sound/city/nl/vit-m-a.ogg")
    assert [row[:2] for row in prompts._listed(_voice("nl-fish"))] == [("city/vit-m-a", 'Dus "wat"?')]


def test_headless_g722_is_sixteen_kilohertz(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "a.g722"
    path.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 8000, np.uint8)))  # one second at 64 kbit/s
    samples, rate = prompts.decoded(path)
    assert rate == 16000
    assert samples.dtype == np.int16
    assert abs(len(samples) - 16000) < 50


def test_a_recording_without_its_text_or_of_another_length_is_left_out(tmp_path: Path) -> None:
    if runtime.DEFAULT not in runtime.installed():
        pytest.skip("no trained model is here")
    voice, path, known = _voice("es-stamps"), tmp_path / "a.ogg", {"un": ("uw", "n"), "perro": ("p", "eh", "r", "o")}
    _tone(path, 1.0)
    assert prompts._made(voice, "a", "un perro", path, known) is None  # a tone says nothing
    _tone(path, 8.0)
    assert prompts._made(voice, "a", "un perro", path, known) is None  # a second a sound
    assert prompts._made(voice, "a", "nada", path, known) is None
    path.write_bytes(b"no sound at all")
    assert prompts._made(voice, "a", "un perro", path, known) is None


def test_sounds_that_were_looked_for_and_not_found_are_told_by_their_length() -> None:
    said = ("p", "eh", "r", "o")
    found = [Timed(k * 0.1, k * 0.1 + 0.08, unit) for k, unit in enumerate(said)]
    lost = [Timed(k / 30, (k + 1) / 30, unit) for k, unit in enumerate(said)]
    rest = [Timed(1.0, 3.0, "sil")]
    assert prompts.pressed([*found, *rest]) == 0
    assert prompts.pressed([*lost, *rest]) == 1
    assert prompts.pressed([*lost[:2], *found[2:], *rest]) == 0.5
    assert prompts.pressed(rest) == 0


def test_agreement_counts_spoken_frames_alone() -> None:
    posteriors = np.full((60, len(units())), 0.001, np.float32)
    posteriors[:, unit_index("sil")] = 0.9
    posteriors[20:30, unit_index("m")], posteriors[30:40, unit_index("aa")] = 2.0, 2.0
    timed = placed([("m", "aa")], posteriors)
    assert [t.unit for t in timed] == ["sil", "m", "aa", "sil"]
    assert prompts.agreement(timed, posteriors) == 1.0
    wrong = [Timed(t.start, t.end, "s" if t.unit == "m" else t.unit) for t in timed]
    assert 0.3 < prompts.agreement(wrong, posteriors) < 0.7


def test_words_are_read_by_espeak() -> None:
    if why := engines.missing_engine("espeak"):
        pytest.skip(why)
    found = prompts.lexicon(["Un perro.", "¿ un ?"], "es")
    assert set(found) == {"Un", "un", "perro."}
    assert found["perro."][0] == "p"
    assert "sil" not in found["Un"]


def test_without_packages_the_source_says_why(root: Path) -> None:
    source = prompts.sources()[0]
    assert not source.parts
    assert source.missing


def test_fetch_names_the_packages_where_apt_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InputError, match="tuxpaint-stamps-default"):
        fetch(tmp_path)


def test_fetch_makes_its_folder_goes_on_where_it_was_and_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def ran(command: list[str], folder: str) -> str:
        asked.append(command[-1])
        if command[0] == "apt-get":
            (Path(folder) / f"{command[-1]}_1_all.deb").touch()
            return "E: Unable to locate package" if command[-1] == "fillets-ng-data-nl" else ""
        assert Path(command[-1]).is_dir()
        return ""

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(packages, "ran", ran)
    cache = tmp_path / "new" / "cache"
    for _ in range(2):
        with pytest.raises(InputError, match="1 of 22 packages cannot be had: fillets-ng-data-nl"):
            fetch(cache)
    assert asked.count("tuxpaint-stamps-default") == 1  # the second time it is there
    assert asked.count("fillets-ng-data-nl") == 2
    assert "fillets-ng-data-nl: E: Unable to locate" in capsys.readouterr().out


def test_what_a_program_complains_of_is_passed_on(tmp_path: Path) -> None:
    assert packages.ran(["sh", "-c", "echo first >&2; echo no room >&2; exit 3"], str(tmp_path)) == "no room"
    assert packages.ran(["true"], str(tmp_path)) == ""
    assert packages.ran(["false"], str(tmp_path)) == "false failed"
