"""Corpora: label readers, engines, the builder and its packed form, timing against the signal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facerig import files
from facerig.errors import InputError, OptionError
from facerig.phones import Timed, to_units, unit_index
from facerig.train.corpora import base, builder, labels, motion, pack, speech, synthetic, texts, timing
from facerig.train.corpora.base import Made, Part, Row
from facerig.transcript import engines


def _row(name: str, timed: list[tuple[float, float, str]], rate: int = 16000, **more: object) -> Row:
    held: dict[str, object] = {"label_kind": "hand", "trust": 0.5, "split": "train", "timed": timed, **more}
    return Row(f"toy/{name}", "toy", "en", "s", rate=rate, seconds=1.0, **held)  # type: ignore[arg-type]


def _needs(engine: str) -> None:
    if why := engines.missing_engine(engine):
        pytest.skip(why)


# --- label files ---------------------------------------------------------------------------------------------------


def test_textgrid_tier(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(
        'item [1]:\n name = "words"\n xmin = 0\n xmax = 1\n intervals [1]:\n xmin = 0\n xmax = 1\n text = "hi"\n'
        'item [2]:\n name = "phones"\n xmin = 0\n xmax = 1\n intervals [1]:\n  xmin = 0.0 \n  xmax = 0.5 \n'
        '  text = "HH" \n intervals [2]:\n  xmin = 0.5\n  xmax = 1\n  text = ""\n',
        "utf-8",
    )
    assert labels.read_textgrid(path, "phones") == [(0.0, 0.5, "HH"), (0.5, 1.0, "")]
    with pytest.raises(InputError, match="no tier"):
        labels.read_textgrid(path, "tones")


def test_lablaut_start_times_bursts_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.lablaut"
    path.write_text(
        "signal x\nnfields 1\n#\n    0.10   -1 _t\n    0.15   -1 !t\t+asp\n    0.20   -1 tasp\n    0.25   -1 aI\t+lar\n"
        "    0.30   -1 \t-lar\n    0.40   -1 m\n    2.30   -1 p\n    2.40   -1 .\n",
        "latin-1",
    )
    rows = speech.lablaut_rows(labels.read_xlabel(path), 2.0)
    assert [r[2] for r in rows] == [".", "t", "t", "t", "aI", "m"]
    assert [r[0] for r in rows] == [0, 0.1, 0.15, 0.2, 0.25, 0.4]
    assert rows[-1][1] == 2.0
    assert speech.lablaut_rows([], 2.0) == []


def test_ssff_tracks() -> None:
    header = b"SSFF -- (c) SHLRC\nMachine IBM-PC\nRecord_Freq 200.0\nStart_Time 0.5\n"
    header += b"Column a FLOAT 1\nColumn b SHORT 2\n"
    kind = np.dtype([("a", "<f4"), ("b", "<i2", (2,))])
    body = np.array([(1.5, (1, 2)), (2.5, (3, 4))], dtype=kind)
    track = labels.read_ssff(header + b"-----------------\n" + body.tobytes())
    assert track.columns == ("a", "b0", "b1")
    assert track.values.tolist() == [[1.5, 1, 2], [2.5, 3, 4]]
    assert track.at(np.array([0.4, 0.5, 0.5025]), "a")[1:].tolist() == pytest.approx([1.5, 2.0])
    assert np.isnan(track.at(np.array([0.4]), "a")[0])
    with pytest.raises(InputError, match="SSFF"):
        labels.read_ssff(b"RIFF....")


def test_to_60fps_interpolates_and_marks_the_invalid() -> None:
    values = np.arange(10.0)[:, None]
    valid = np.ones(10, bool)
    valid[5] = False
    out = motion.to_60fps(values, 30, 24, valid)
    assert out[:9, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert np.isnan(out[9:12, 0]).all()
    assert out[12:18, 0].tolist() == [6, 6.5, 7, 7.5, 8, 8.5]
    assert np.isnan(out[-4:, 0]).all()


# --- engines -------------------------------------------------------------------------------------------------------


def test_closure_before_a_burst_goes_to_its_stop() -> None:
    rate = 16000
    samples = np.full(rate, 1000, np.int16)
    samples[int(0.45 * rate) : int(0.5 * rate)] = 0
    found = engines.closures([Timed(0, 0.5, "a"), Timed(0.5, 0.55, "p"), Timed(0.55, 1, "a")], samples, rate)
    assert found[0].end == found[1].start == pytest.approx(0.45, abs=0.003)
    after_pause = engines.closures([Timed(0, 0.5, "sil"), Timed(0.5, 0.55, "p")], samples, rate)
    assert after_pause[1].start == pytest.approx(0.5 - engines.CLOSURE_AFTER_PAUSE)


def test_shifted_labels_keep_the_start() -> None:
    found = engines.shifted([Timed(0, 0.1, "sil"), Timed(0.1, 0.2, "a")], 0.01)
    assert [(t.start, round(t.end, 3)) for t in found] == [(0, 0.11), (0.11, 0.21)]


@pytest.mark.parametrize("voice", ["en-us", "de+f2", "cmn-latn-pinyin"])
def test_espeak_labels_cover_the_audio(voice: str) -> None:
    _needs("espeak")
    text = "wo3 ai4 ba4ba5" if voice.startswith("cmn") else "Papa, mama"
    spoken = engines.espeak().speak(text, voice)
    assert engines.covers(spoken.timed, len(spoken.samples) / spoken.rate)
    assert {"b", "p", "m"} & {t.unit for t in spoken.timed}


def test_espeak_without_the_voice_says_so() -> None:
    _needs("espeak")
    with pytest.raises(engines.EngineError, match="no-such-voice") as error:
        engines.espeak().speak("a", "no-such-voice")
    assert error.value.exit_code == 2


def test_flite_labels() -> None:
    _needs("flite")
    spoken = engines.flite("Bob may pay", "slt", 1.1, 150)
    names = [t.unit for t in spoken.timed]
    assert names[0] == "sil"
    assert names.count("b") == 2
    assert engines.covers(spoken.timed, len(spoken.samples) / spoken.rate)


def test_festival_labels() -> None:
    _needs("festival")
    voice = "kal_diphone"
    if not list(Path("/usr/share/festival/voices").glob(f"*/{voice}")):
        pytest.skip(f"festival voice {voice} is not installed")
    spoken = engines.festival(["Bob may pay."], voice, "festival_en")
    assert len(spoken) == 1
    assert [t.unit for t in spoken[0].timed].count("b") == 2


@pytest.mark.parametrize("language", texts.languages())
def test_every_language_gives_sentences(language: str) -> None:
    rng = base.rng_for("test", language)
    said = {texts.sentence(language, rng) for _ in range(30)}
    assert len(said) > 10
    assert not any("{" in s or "\\" in s for s in said)


def test_nonsense_is_rich_in_labials() -> None:
    rng = base.rng_for("nonsense")
    word = "".join(texts.nonsense(rng, 3) for _ in range(100))
    assert sum(word.count(c) for c in "pbmfvw") > 0.25 * len(word)


def test_held_out_voices_are_not_trained_on() -> None:
    _needs("espeak")
    held = synthetic.voices()
    val, train = {v.name for v in held if v.val}, {v.name for v in held if not v.val}
    assert val
    assert not val & train
    assert not any(v.endswith(tuple(synthetic._VARIANTS[1:])) for v in val)


# --- timing --------------------------------------------------------------------------------------------------------


def test_timing_finds_a_known_offset() -> None:
    rate, rng = 16000, np.random.default_rng(0)
    samples = (rng.standard_normal(rate) * 2).astype(np.int16)
    time = np.arange(rate // 2) / rate
    samples[rate // 4 : rate // 4 + rate // 2] += (8000 * np.sin(2 * np.pi * 200 * time)).astype(np.int16)
    found = timing.offsets(samples, rate, [(0.0, 0.23, "sil"), (0.23, 0.77, "a"), (0.77, 1.0, "sil")])
    assert dict(found)["onset"] == pytest.approx(0.02, abs=0.005)
    assert dict(found)["offset"] == pytest.approx(-0.02, abs=0.005)
    assert timing.summary(found)["onset"][0] == 1


def test_timing_of_engines_is_near_zero() -> None:
    _needs("espeak")
    voice = synthetic.Voice("espeak", "en-us", "en", 1)
    found: list[tuple[str, float]] = []
    for made in synthetic._clips(voice, "test", 30.0):
        found += timing.offsets(made.audio, made.row.rate, made.row.timed)
    assert all(abs(median) < 10 for _, median, _ in timing.summary(found).values())


# --- builder and packing -------------------------------------------------------------------------------------------


def _toy(tmp_path: Path, clips: list[Made], columns: tuple[str, ...] = ()) -> pack.PackedSet:
    folder = tmp_path / "toy"
    assert base.write_part(folder, Part("all", lambda: clips)) == len(clips)
    assert base.write_manifest(folder, ["all", "absent"]) == len(clips)
    pack.pack(tmp_path, "toy", columns)
    return pack.load_packed(tmp_path)


def test_packed_frames_labels_and_targets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    audio = [(rng.standard_normal(n) * 3000).astype(np.int16) for n in (16000, 8000)]
    targets = np.arange(60, dtype=np.float32)[:, None]
    clips = [
        Made(_row("a", [(0.0, 0.5, "p"), (0.5, 0.9, "a")]), audio[0]),
        Made(_row("b", [], label_kind="none", split="val"), audio[1], targets),
    ]
    held = _toy(tmp_path, clips, ("jaw",))
    a, b = held.clips
    assert (a.frames, b.frames) == (60, 30)
    assert len(held.audio(a)) == 24000
    assert list(held.labels(a)[[0, 29, 30, 53]]) == [unit_index("p")] * 2 + [unit_index("a")] * 2
    assert list(held.labels(a)[54:]) == [255] * 6
    assert set(held.labels(b)) == {255}
    assert held.targets(a) is None
    found = held.targets(b, 5, 3)
    assert found is not None
    assert found[:, 0].tolist() == [5, 6, 7]
    assert np.array_equal(held.audio(a, 10, 5), held.audio(a)[4000:6000])
    assert held.columns["toy"] == ("jaw",)
    assert [c.id for c in held.only("val").clips] == ["toy/b"]
    assert held.hours() == pytest.approx(1.5 / 3600)


def test_resampling_keeps_the_first_instant() -> None:
    click = np.zeros(16000, np.int16)
    click[8000] = 20000
    assert abs(int(np.argmax(pack.to_24k(click, 16000))) - 12000) <= 1
    click44 = np.zeros(44100, np.int16)
    click44[22050] = 20000
    assert abs(int(np.argmax(pack.to_24k(click44, 44100))) - 12000) <= 1


def test_packing_again_replaces_and_readers_keep_theirs(tmp_path: Path) -> None:
    loud = np.full(8000, 5000, np.int16)
    first = _toy(tmp_path, [Made(_row("a", [(0.0, 0.5, "p")]), loud)])
    second = _toy(tmp_path, [Made(_row("b", [(0.0, 0.5, "m")]), -loud)])
    assert int(first.audio(first.clips[0])[6000]) > 0 > int(second.audio(second.clips[0])[6000])
    assert len(list((tmp_path / "packed").glob("*.audio.npy"))) == 1
    with pytest.raises(InputError, match="nothere"):
        pack.load_packed(tmp_path, ["nothere"])


def test_builder_skips_what_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(name: str) -> list[Made]:
        made.append(name)
        return [Made(_row(name, [(0.0, 0.5, "p")]), np.zeros(8000, np.int16))]

    parts = [Part(n, lambda n=n: make(n)) for n in ("x", "y")]  # type: ignore[misc]
    sources = [base.Source("toy", parts), base.Source("gone", (), "no engine")]
    monkeypatch.setattr(builder, "all_sources", lambda hours, only="": sources)
    builder.build(tmp_path, [], 1, 1.0)
    builder.build(tmp_path, ["toy"], 1, 1.0)
    assert made == ["x", "y"]
    assert len(pack.load_packed(tmp_path)) == 2
    with pytest.raises(OptionError, match="bogus"):
        builder.build(tmp_path, ["bogus"], 1, 1.0)


def test_a_source_without_clips_is_left_out_and_the_next_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    click = Made(_row("a", [(0.0, 0.01, "p")]), np.zeros(160, np.int16))  # shorter than a frame
    whole = Made(_row("b", [(0.0, 0.5, "p")]), np.zeros(8000, np.int16))
    sources = [base.Source(name, [Part("all", lambda made=made: made)])  # type: ignore[misc]
               for name, made in (("empty", []), ("clicks", [click]), ("toy", [whole]))]
    monkeypatch.setattr(builder, "all_sources", lambda hours, only="": sources)
    builder.build(tmp_path, [], 1, 1.0)
    said = capsys.readouterr().out
    assert "empty: 0 clips, left out: no clip could be made" in said
    assert "clicks: 1 clips, left out: no clip could be made" in said
    assert [path.name for path in (tmp_path / "packed").glob("*") if "toy" not in path.name] == []
    assert len(pack.load_packed(tmp_path)) == 1
    assert builder.left_out(tmp_path, 1.0) == {"empty": "no clip could be made", "clicks": "no clip could be made"}


def test_what_was_broken_off_or_added_later_is_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {name: [Part("x", list), Part("y", list)] for name in ("whole", "broken off", "brought along", "added")}
    sources = [*(base.Source(name, parts) for name, parts in made.items()), base.Source("gone", (), "no engine")]
    monkeypatch.setattr(builder, "all_sources", lambda hours, only="": sources)
    for name, parts in (("whole", "xy"), ("broken off", "x"), ("brought along", "")):
        files.write_file(tmp_path / "packed" / f"{name}.json", b"")
        for part in parts:
            files.write_file(tmp_path / name / f"{part}.jsonl", b"")
    assert builder.unfinished(tmp_path, 1.0) == ["broken off", "added"]


def test_build_of_a_little_synthetic_speech(tmp_path: Path) -> None:
    _needs("espeak")
    voice = synthetic.Voice("espeak", "en-us+m5", "en", 0, True)
    base.write_part(tmp_path / "synthetic", synthetic.part(voice, "espeak-test", 5.0))
    base.write_manifest(tmp_path / "synthetic", ["espeak-test"])
    pack.pack(tmp_path, "synthetic")
    held = pack.load_packed(tmp_path)
    assert held.hours() * 3600 > 4.5
    assert all(c.is_val and c.label_kind == "engine" for c in held.clips)
    assert np.mean(np.concatenate([held.labels(c) for c in held.clips]) == 255) < 0.02


def test_synthetic_parts_are_the_same_on_every_run(tmp_path: Path) -> None:
    _needs("espeak")
    code = (
        "import sys; from pathlib import Path; from facerig.train.corpora import base, synthetic;"
        "voice = synthetic.Voice('espeak', 'de', 'de', 1);"
        "base.write_part(Path(sys.argv[1]), synthetic.part(voice, 'espeak-de-000', 4.0))"
    )
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    for file in ("espeak-de-000.npy", "espeak-de-000.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_command_reports_an_unknown_source(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facerig.train.corpora", "build", "--cache", str(tmp_path), "--only", "bogus"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "bogus" in done.stderr
    assert "Traceback" not in done.stderr


# --- the real sets --------------------------------------------------------------------------------------------------


def test_every_symbol_of_the_real_sets_maps(shared_data: Path) -> None:
    symbols = {"arpabet": set[str](), "ipa": set[str](), "sampa_de": set[str](), "sampa_au": set[str]()}
    for path in shared_data.glob("grid/phones/*.txt"):
        symbols["arpabet"] |= {s for _, _, s in labels.read_columns(path)}
    for name, notation in (("ljspeech", "arpabet"), ("css10_es", "ipa")):
        for path in shared_data.glob(f"{name}/*/*.TextGrid"):
            symbols[notation] |= {s for _, _, s in labels.read_textgrid(path, "phones")}
    for path in shared_data.glob("emodb/lablaut/*.lablaut"):
        symbols["sampa_de"] |= {s for _, _, s in speech.lablaut_rows(labels.read_xlabel(path), 9.0)}
    for path in shared_data.glob("emu/ae/*/*/*_annot.json"):
        symbols["sampa_au"] |= {s for _, _, s in labels.read_emu_file(path, "Phonetic")}
    for notation, found in symbols.items():
        assert len(found) > 20
        for symbol in found:
            assert to_units(symbol, notation), (notation, symbol)


def test_validation_people_are_not_in_training(shared_data: Path) -> None:
    for source in speech.sources():
        part = source.parts[0].make()
        assert all(made.row.split == "val" for made, _ in zip(part, range(3), strict=False)), source.name
    ids = motion._grid_ids()
    validation = motion.grid_validation(ids)
    assert len(validation) == motion.GRID_VALIDATION
    assert validation == motion.grid_validation(ids[::-1])
    assert "pbio7a" not in ids


def test_emodb_labels_end_with_the_clip(shared_data: Path) -> None:
    for made, _ in zip(speech._emodb(), range(20), strict=False):
        assert made.row.seconds <= 2.001
        assert all(end <= 2.0 for _, end, _ in made.row.timed)


def test_motion_targets_match_the_audio(shared_data: Path) -> None:
    made = next(iter(motion._grid()))
    assert made.targets is not None
    assert made.targets.shape == (len(made.audio) * 60 // made.row.rate, 39)
    assert np.isfinite(made.targets).mean() > 0.95
    spoken = list(motion._ema())
    assert all(m.targets is not None and np.isfinite(m.targets).any() for m in spoken)


def test_facegood_keeps_one_clip_of_each_kind(shared_data: Path) -> None:
    val = [m.row.id for m in motion._facegood() if m.row.split == "val" and m.targets is not None]
    assert len(val) == 2
    assert {v.split("_")[1] for v in val} == {"2", "3"}


def test_alignment_puts_words_where_they_sound(shared_data: Path) -> None:
    pytest.importorskip("pocketsphinx")
    from facerig.train.corpora import speechocean
    from facerig.train.corpora.align import Aligner, energy_agreement

    texts_of, name = speechocean._tables("text"), "000010011"
    audio, rate = speech.read_audio(shared_data / "speechocean" / "audio" / f"{name}.opus")
    found = Aligner(speechocean.lexicon()).align(speechocean._at_16k(audio, rate), texts_of[name])
    assert found is not None
    assert "B" in [s for _, _, s in found.rows]
    assert speechocean.holds(found, energy_agreement(audio, rate, found.rows))
    assert json.dumps(found.rows)


def test_speechocean_validation_speakers(shared_data: Path) -> None:
    from facerig.train.corpora import speechocean

    speakers = list(speechocean._tables("utt2spk").values())
    validation = speechocean.validation_speakers(speakers)
    assert len(validation) == speechocean.VALIDATION_SPEAKERS
    assert validation == speechocean.validation_speakers(speakers[::-1])
