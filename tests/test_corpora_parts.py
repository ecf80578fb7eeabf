"""Parts of corpora on disk: how long each is, when what is packed of them is packed anew, what killed builds leave."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facerig import files
from facerig.phones import Timed
from facerig.train.corpora import base, builder, pack, synthetic
from facerig.train.corpora.base import Made, Part, Row
from facerig.transcript import engines

SILENT = np.zeros(8000, np.int16)


def _row(name: str) -> Row:
    return Row(f"toy/{name}", "toy", "en", "s", "train", 16000, 0.5, "hand", 1.0, [(0.0, 0.5, "p")])


def _toy(cache: Path, made: Made) -> pack.PackedSet:
    """One clip, made and packed."""
    base.write_part(cache / "toy", Part("all", lambda: [made]))
    base.write_manifest(cache / "toy", ["all"])
    pack.pack(cache, "toy", ("jaw",) if made.targets is not None else ())
    return pack.load_packed(cache)


def _seconds_made(cache: Path) -> float:
    return sum(row.seconds for row in base.read_manifest(cache / "synthetic"))


def test_fewer_hours_at_first_leave_nothing_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def part(voice: synthetic.Voice, name: str, seconds: float) -> Part:
        return Part(name, lambda: [Made(replace(_row(name), seconds=seconds), np.zeros(400, np.int16))])

    weights = {"de": 8.0, "es": 3.0, "fi": 0.4}  # of several parts, of one or two, of one that is never full
    voices = [synthetic.Voice("espeak", name, name, weight) for name, weight in weights.items()]
    voices.append(synthetic.Voice("espeak", "de+f4", "de", 0, True))
    monkeypatch.setattr(synthetic, "voices", lambda: voices)
    monkeypatch.setattr(synthetic, "part", part)
    monkeypatch.setattr(builder, "all_sources", lambda hours, only="": synthetic.sources(hours))
    for cache, asked in (("at once", [10.0]), ("by and by", [1.0, 3.0, 10.0])):
        for hours in asked:
            builder.build(tmp_path / cache, [], 1, hours)
    assert _seconds_made(tmp_path / "by and by") == _seconds_made(tmp_path / "at once") > 5 * 3600
    names = {part.name: part for part in synthetic.sources(10.0)[0].parts}
    assert all(name.rpartition("-")[2].isdigit() for name in names)  # as ever, so that what is there stays
    assert {"espeak-de_f4-000", "espeak-fi-000"} <= set(names)


def test_a_name_stands_for_one_length_whatever_is_asked_for() -> None:
    lengths: dict[str, set[float]] = {}
    for hours in (0.02, 0.5, 1.0, 3.0, 9.5, 10.0, 11.0, 20.0, 25.0):
        found = base.pieces(912.0, hours, 360.0)
        assert sum(seconds for _, seconds in found) == pytest.approx(912 * hours, abs=1)
        for name, seconds in found:
            lengths.setdefault(name, set()).add(round(seconds, 6))
    assert all(len(held) == 1 for held in lengths.values())
    assert [name for name, _ in base.pieces(912.0, 10.0, 360.0, digits=2)] == [f"{k:02d}" for k in range(25)]


def test_a_voice_is_not_given_up_after_many_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    texts_of = iter(range(1000))

    def speak(voice: synthetic.Voice, rng: np.random.Generator) -> list[tuple[str, str, engines.Spoken]]:
        if next(texts_of) == 250:
            raise engines.EngineError("it fails on this one")
        return [("s", "a", engines.Spoken(np.zeros(16000, np.int16), 16000, (Timed(0.0, 1.0, "aa"),)))]

    monkeypatch.setattr(synthetic, "_by_espeak", speak)
    assert len(list(synthetic._clips(synthetic.Voice("espeak", "de", "de"), "x", 300.0))) == 300


def test_other_sound_under_the_same_rows_is_packed_anew(tmp_path: Path) -> None:
    def clip(level: int, target: float) -> Made:
        return Made(_row("a"), SILENT + np.int16(level), np.full((30, 1), target, np.float32))

    first = _toy(tmp_path, clip(5000, 1.0))
    second = _toy(tmp_path, clip(-5000, 1.0))
    assert int(first.audio(first.clips[0])[6000]) > 0 > int(second.audio(second.clips[0])[6000])
    third = _toy(tmp_path, clip(-5000, 2.0))
    found = third.targets(third.clips[0])
    assert found is not None
    assert found[0, 0] == 2.0
    assert len({held.digest("toy") for held in (first, second, third)}) == 3  # and so are its features
    assert _toy(tmp_path, clip(-5000, 2.0)).digest("toy") == third.digest("toy")


def test_what_was_packed_from_rows_without_a_digest_stays(tmp_path: Path) -> None:
    _toy(tmp_path, Made(_row("a"), SILENT))
    manifest = tmp_path / "toy" / "manifest.jsonl"
    row = json.loads(manifest.read_text("utf-8"))
    del row["digest"]
    manifest.write_text(json.dumps(row) + "\n", "utf-8")
    for _ in range(2):
        pack.pack(tmp_path, "toy")
    held = pack.load_packed(tmp_path)
    assert held.clips[0].frames == 30
    assert held.digest("toy") == hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]  # as it was, features too


def test_what_a_killed_process_was_writing_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass

    def written_by(process: int) -> list[Path]:
        packed, made = tmp_path / "packed", tmp_path / "toy"
        return [packed / f"toy-0123456789ab.{process}.raw", packed / f"toy-0123456789ab.audio.npy.{process}.tmp",
                made / f"all.npy.{process}.tmp"]  # fmt: skip

    left = written_by(gone.pid)
    kept = [*written_by(os.getppid()), tmp_path / "toy" / "all.2.npy", tmp_path / "toy" / "notes.tmp"]
    for path in (*left, *kept):
        files.write_file(path, b"")
    _toy(tmp_path, Made(_row("a"), SILENT))
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
