"""Batches: tables, what is skipped and what is made again, bad lines, workers, the report, the command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from html.parser import HTMLParser
from multiprocessing import active_children
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
import soundfile
from batch_workers import make_and_wait, make_or_die
from export_samples import head

import exporters
from facerig.batch import report, work
from facerig.batch.run import run
from facerig.batch.store import Store, clashes, file_names, head_digest
from facerig.batch.table import COLUMNS, Line, read_formats, read_table
from facerig.batch.work import Result, Settings
from facerig.cli import run as command
from facerig.errors import InputError, MissingExtra, OptionError
from facerig.files import write_file

FAKE = Settings(model="fake")


def voice(path: Path, seconds: float = 0.5, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    soundfile.write(path, 0.2 * rng.standard_normal(int(16000 * seconds)), 16000)
    return path


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    return [Line(n + 2, voice(tmp_path / f"line{n}.wav", seed=n), "Ann", formats=(".csv", ".json")) for n in range(3)]


def statuses(results: list[Result]) -> list[str]:
    return [result.status for result in results]


# ---- tables -------------------------------------------------------------------------------------------------------


def table(folder: Path, text: str) -> Path:
    return write_file(folder / "lines.csv", text.encode())


@pytest.mark.parametrize("text", [
    "audio,character,emotion,transcript,formats\na.wav,Ann,joy,\"hello, you\",csv fbx\n",
    "Audio Path;Speaker;Emotion;Text;Output formats\na.wav;Ann;joy;hello, you;csv,fbx\n",
    "\ufeffaudio_path\tcharacter\tmood\ttranscript\toutput\r\na.wav\tAnn\tjoy\thello, you\t.csv|.fbx\r\n",
])
def test_tables_of_several_kinds(tmp_path: Path, text: str) -> None:
    (line,) = read_table(table(tmp_path, text))
    assert line == Line(2, tmp_path / "a.wav", "Ann", "joy", "hello, you", (".csv", ".fbx"))


def test_a_bare_table_takes_the_default_formats(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "audio\na.wav\n\nsub/b c.wav\n"), (".glb",))
    assert [(line.number, line.name, line.folder, line.formats) for line in found] == [
        (2, "a", "lines", (".glb",)), (4, "b-c", "lines", (".glb",))]
    assert file_names(Line(2, Path("a.wav"), formats=(".csv",))) == {".csv": "lines/a_1_facerig_cal.csv"}


@pytest.mark.parametrize(("text", "said"), [
    ("", "empty"), ("voice,name\na,b\n", "no column audio"), ("audio\n", "no lines"), ("\xff", "UTF-8")])
def test_unusable_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = write_file(tmp_path / "x.csv", text.encode("latin-1"))
    with pytest.raises(InputError, match=said):
        read_table(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "none.csv")


def test_bad_rows_are_kept_with_their_problem(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "audio,formats\n,csv\na.wav,docx\nb.wav\n"))
    assert "empty" in found[0].problem
    assert "docx" in found[1].problem
    assert not found[2].problem
    assert read_formats("csv, .a2f.json;fbx csv") == (".csv", ".a2f.json", ".fbx")


def test_a_row_of_more_cells_than_the_header_names_is_kept_with_its_problem(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "audio,character,transcript\nen.wav,anna,Well, I never thought\n"
                                       "b.wav,ben,\"Well, I never\",,\n"))  # fmt: skip
    assert found[0].problem == ("got 4 cells under 3 columns, accepted: one each; put a text that holds commas in "
                                "quotes")  # fmt: skip
    assert (found[1].problem, found[1].transcript) == ("", "Well, I never")


def test_the_document_has_every_name_of_a_column() -> None:
    document = " ".join((Path(__file__).parents[1] / "docs" / "FORMATS.md").read_text().split())
    for ours, names in COLUMNS:
        others = [f"`{name}`" for name in names if name != ours]
        assert not others or f"`{ours}` ({', '.join(others)})" in document


def test_names_of_files(tmp_path: Path) -> None:
    line = Line(2, tmp_path / "my_line 01.wav", "Ann Lee", formats=(".csv", ".fbx"))
    assert file_names(line) == {".csv": "Ann-Lee/my-line-01-e9f3e9cc_1_Ann-Lee_cal.csv",
                                ".fbx": "Ann-Lee/my-line-01.fbx"}
    (name,) = file_names(Line(2, Path("Zeile ü.wav"), "Änna Müller", formats=(".csv",))).values()
    assert re.fullmatch(r"Änna-Müller/Zeile-u-[0-9a-f]{8}_1_Anna-Muller_cal\.csv", name)
    assert file_names(Line(2, Path("a_b.wav"), "安奈", formats=(".csv",))) == {".csv": "安奈/a-b_1_facerig_cal.csv"}
    assert file_names(Line(7, Path("!!.wav"), "../../etc", formats=(".npz",))) == {".npz": "etc/line7.npz"}
    assert clashes([line, Line(3, tmp_path / "my line-01.flac", "Ann-Lee", formats=(".fbx",))]).keys() == {3}


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_lines_of_like_names_are_all_made_and_known_again(tmp_path: Path) -> None:
    """As `animate` names them: but for hyphens and underscores, no two names make one Live Link CSV."""
    lines = [Line(n, voice(tmp_path / f"{name}.wav"), formats=(".csv",))
             for n, name in enumerate(("line one", "line-one", "line.one", "ana", "aña"), 2)]
    store = Store(tmp_path / "out", "fake")
    assert statuses(run(lines, FAKE, store)) == ["done"] * 5
    assert statuses(run(lines, FAKE, store)) == ["skipped"] * 5


def test_a_column_that_nobody_reads_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_table(table(tmp_path, "audio,Charcter,line,take,gain:jaw,mood\na.wav,Ann,hi,1,1,joy\n"))
    assert "Charcter; did you mean character?" in caplog.text
    assert ", line" in caplog.text, "what tables call so is as often a number as a text"
    assert ", take" in caplog.text
    caplog.clear()
    read_table(table(tmp_path, "audio,Character,seed,gain:jaw,mood\na.wav,Ann,1,1,joy\n"))
    assert not caplog.text


def test_lines_are_made_once_and_then_skipped(tmp_path: Path, lines: list[Line]) -> None:
    store = Store(tmp_path / "out", "fake")
    heard: list[Result] = []
    first = run(lines, FAKE, store, tell=heard.append)
    assert statuses(first) == ["done"] * 3 == statuses(heard)
    for line, result in zip(lines, first, strict=True):
        assert result.outputs == tuple(file_names(line).values())
        assert not result.files
        assert exporters.read(store.folder / result.outputs[0]).frames == result.frames == 30
        assert result.plot["jawOpen"]
        assert result.seconds == 0.5
    second = run(lines, FAKE, store)
    assert statuses(second) == ["skipped"] * 3
    assert [(r.seconds, r.plot, r.outputs) for r in second] == [(r.seconds, r.plot, r.outputs) for r in first]


def test_what_changed_is_made_again(tmp_path: Path, lines: list[Line]) -> None:
    store = Store(tmp_path / "out", "fake")
    first = run(lines, FAKE, store)
    voice(lines[0].audio, seed=9)  # other sound under the same name
    (store.folder / first[1].outputs[0]).write_text("touched")
    assert statuses(run(lines, FAKE, store)) == ["done", "done", "skipped"]
    (store.folder / first[2].outputs[1]).unlink()
    assert statuses(run(lines, FAKE, store)) == ["skipped", "skipped", "done"]
    assert statuses(run(lines, Settings(model="fake", fps=30), store)) == ["done"] * 3
    newer, slow = Store(store.folder, "fake-2"), Settings(model="fake", fps=30)
    assert statuses(run(lines, slow, newer)) == ["done"] * 3
    assert statuses(run(lines, slow, newer, force=True)) == ["done"] * 3
    other = [Line(line.number, line.audio, line.character, line.emotion, "words", line.formats) for line in lines]
    assert statuses(run(other, slow, newer)) == ["done"] * 3


def test_rows_may_move_in_the_table(tmp_path: Path, lines: list[Line]) -> None:
    store = Store(tmp_path / "out", "fake")
    run(lines, FAKE, store)
    moved = [Line(n, line.audio, line.character, formats=line.formats) for n, line in enumerate(reversed(lines), 2)]
    assert statuses(run(moved, FAKE, store)) == ["skipped"] * 3


def test_two_rows_of_a_clip_are_both_known_again(tmp_path: Path) -> None:
    sound = voice(tmp_path / "a.wav")
    rows = [Line(2, sound, formats=(".csv",)), Line(3, sound, formats=(".json", ".npz"))]
    store = Store(tmp_path / "out", "fake")
    assert statuses(run(rows, FAKE, store)) == ["done"] * 2
    assert statuses(run(rows, FAKE, store)) == ["skipped"] * 2


def test_a_spoilt_note_means_making_it_again(tmp_path: Path, lines: list[Line]) -> None:
    store = Store(tmp_path / "out", "fake")
    run(lines, FAKE, store)
    for number, note in enumerate(sorted((store.folder / ".facerig").iterdir())):
        note.write_bytes((b"[" * 100_000, b"[]", b'{"key": 1}')[number])
    assert statuses(run(lines, FAKE, store)) == ["done"] * 3


def test_one_bad_line_never_stops_the_rest(tmp_path: Path, lines: list[Line]) -> None:
    broken = write_file(tmp_path / "broken.wav", b"RIFFrubbish")
    bad = [Line(5, tmp_path / "none.wav", formats=(".csv",)), Line(6, broken, formats=(".csv",)),
           Line(7, lines[0].audio, formats=(".glb",)), Line(8, lines[0].audio, problem="format: got 'x'"),
           Line(9, lines[0].audio, "Ann", formats=(".csv",)), Line(10, lines[1].audio, "Bob", formats=(".csv",))]
    results = run([*bad[:3], *lines, *bad[3:]], FAKE, Store(tmp_path / "out", "fake"))
    assert statuses(results) == ["failed"] * 3 + ["done"] * 3 + ["failed"] * 2 + ["done"]
    reasons = ("cannot be read", "broken.wav", "needs a head", "format: got", "row 2 writes")
    for result, said in zip([*results[:3], *results[6:8]], reasons, strict=True):
        assert said in result.error
        assert "\n" not in result.error
        assert not result.outputs


def test_a_fault_of_ours_fails_its_line_alone(tmp_path: Path, lines: list[Line],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    real = work._animated

    def faulty(line: Line, *rest: object) -> object:
        return 1 / 0 if line.number == 3 else real(line, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "_animated", faulty)
    results = run(lines, FAKE, Store(tmp_path / "out", "fake"))
    assert statuses(results) == ["done", "failed", "done"]
    assert "ZeroDivisionError" in results[1].error


def test_a_head_is_part_of_what_a_line_is_made_from(tmp_path: Path, lines: list[Line]) -> None:
    one, other = head(5), head(6)
    assert head_digest(one) == head_digest(head(5)) != head_digest(other)
    assert head_digest(None) == ""
    scene = [Line(line.number, line.audio, "Ann", formats=(".glb",)) for line in lines[:1]]
    results = run(scene, FAKE, Store(tmp_path / "out", "fake", head_digest(one)), one)
    assert statuses(results) == ["done"]
    assert statuses(run(scene, FAKE, Store(tmp_path / "out", "fake", head_digest(other)), other)) == ["done"]


def test_remarks_of_a_line_reach_the_report(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(1600), 16000)
    (result,) = run([Line(2, silent, emotion="joy", formats=(".npz",))], FAKE, Store(tmp_path / "out", "fake"))
    assert any("hardly moves" in text for text in result.warnings)
    assert any("lasts only 0.10 s" in text for text in result.warnings)


def test_workers_give_the_same_files(tmp_path: Path, lines: list[Line]) -> None:
    alone, shared = Store(tmp_path / "one", "fake"), Store(tmp_path / "two", "fake")
    first, second = run(lines, FAKE, alone), run(lines, FAKE, shared, jobs=2)
    assert statuses(first) == statuses(second) == ["done"] * 3
    for a, b in zip(first, second, strict=True):
        assert a.outputs == b.outputs
        for name in a.outputs:
            assert (alone.folder / name).read_bytes() == (shared.folder / name).read_bytes()


def test_a_worker_that_dies_takes_no_other_line_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facerig.batch.run.make", make_or_die)
    names = ("a", "deadly", "b", "c")
    some = [Line(n + 2, write_file(tmp_path / f"{name}.wav", name.encode()), formats=(".npz",))
            for n, name in enumerate(names)]
    results = run(some, FAKE, Store(tmp_path / "out", "fake"), jobs=2)
    assert statuses(results) == ["done", "failed", "done", "done"]
    assert "died" in results[1].error


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.usefixtures("at_a_terminal")
def test_an_interrupt_ends_the_workers_and_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      jobs: int) -> None:
    """Workers that would take a minute a line: whoever waits for them has not come back yet."""
    monkeypatch.setattr("facerig.batch.run.make", make_and_wait)
    some = [Line(n, write_file(tmp_path / f"{n}.wav", b"sound"), formats=(".npz",)) for n in range(2, 12)]

    def interrupted() -> None:
        while not list(tmp_path.glob("*.begun")):
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupted, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run(some, FAKE, Store(tmp_path / "out", "fake"), jobs=jobs)
    for process in active_children():  # by what an ended process lets go of: the pool's own thread may reap it first
        assert wait([process.sentinel], 30)
    assert len(list(tmp_path.glob("*.begun"))) <= jobs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_command_ends_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         number: int) -> None:
    monkeypatch.setattr("facerig.batch.run.make", make_and_wait)
    path = table(tmp_path, "audio\n" + "".join(f"{voice(tmp_path / f'{k}.wav').name}\n" for k in range(4)))

    def told() -> None:
        while not list(tmp_path.glob("*.begun")):
            threading.Event().wait(0.05)
        os.kill(os.getpid(), number)

    before = signal.signal(number, signal.SIG_DFL)
    try:
        threading.Thread(target=told, daemon=True).start()
        assert command(["batch", str(path), "-o", str(tmp_path / "out"), "-j", "2", "--model", "fake"]) == 130
    finally:
        signal.signal(number, before)
    for process in active_children():
        assert wait([process.sentinel], 30)


def test_workers_end_where_the_one_who_hands_out_dies(tmp_path: Path) -> None:
    path = table(tmp_path, "audio\n" + "".join(f"{voice(tmp_path / f'{k}.wav').name}\n" for k in range(4)))
    words = ["batch", str(path), "-o", str(tmp_path / "out"), "-j", "2", "--model", "fake"]
    text = ("import facerig.batch.run as at; from batch_workers import make_and_wait; from facerig.cli import run\n"
            f"if __name__ == '__main__': at.make = make_and_wait; run({words})")  # fmt: skip
    program = write_file(tmp_path / "program.py", text.encode())
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    # Workers hold the far ends of the pipes until they end, and each would take a minute a line.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(program)], env=env, **pipes) as started:
        try:
            while len(list(tmp_path.glob("*.begun"))) < 2:
                assert started.poll() is None
                threading.Event().wait(0.05)
        finally:
            started.kill()
        started.communicate(timeout=30)


@pytest.mark.parametrize("jobs", [0, -1, 1000])
def test_jobs_are_checked(tmp_path: Path, jobs: int) -> None:
    with pytest.raises(OptionError, match="jobs"):
        run([], FAKE, Store(tmp_path), jobs=jobs)


# ---- files that lines read ----


def test_what_lines_read_is_never_overwritten(tmp_path: Path) -> None:
    """One line's clash is its own problem; a clash with what all share stops the batch."""
    sound = voice(write_file(tmp_path / "ann" / "a.wav", b""))
    other = voice(tmp_path / "b.wav")
    mood, said = '[{"time": 0, "emotion": "happy"}]', '{"text": "hello"}'
    for column, cell, kept in (("emotion", "a.json", mood), ("transcript", "a.json", said)):
        named = write_file(sound.with_name("a.json"), kept.encode())
        path = table(tmp_path, f"audio,character,{column}\nann/a.wav,ann,{cell}\n{other.name},bob,\n")
        results = run(read_table(path, (".json",)), FAKE, Store(tmp_path, "fake"))
        assert statuses(results)[0] == "failed"
        assert "ann/a.json would overwrite what row 2 reads" in results[0].error
        assert named.read_text() == kept
        assert command(["batch", str(path), "-o", str(tmp_path), "--format", "json", "--model", "fake"]) == 3
        assert named.read_text() == kept
    for name, words in (("report.json", []), ("ann/a.json", ["--emotion", str(named)])):
        at = write_file(tmp_path / name, b"audio,character\nann/a.wav,ann\n" if not words else mood.encode())
        before = at.read_bytes()
        asked = ["batch", str(path if words else at), "-o", str(tmp_path), "--format", "json", "--model", "fake"]
        assert command([*asked, *words]) == 2
        assert at.read_bytes() == before


def test_files_that_cells_name_lie_beside_the_audio_and_count(tmp_path: Path) -> None:
    sound = voice(write_file(tmp_path / "ann" / "a.wav", b""))
    style = {"format": "facerig-style", "version": 1}
    learnt = write_file(sound.with_name("x.style.json"), json.dumps(style).encode())
    said = write_file(sound.with_name("a b.txt"), b"Hello.")
    line = Line(2, sound, style="x.style.json", transcript="a b.txt", formats=(".npz",))
    assert work.files_read(line, FAKE) == (sound, learnt, said)
    store = Store(tmp_path / "out", "fake")
    keys = {store.key(line, FAKE)}
    for file in (learnt, said):
        write_file(file, b"changed")
        keys.add(store.key(line, FAKE))
    assert len(keys) == 3
    assert work.files_read(Line(2, sound, transcript="Open notes.txt"), FAKE) == (sound,)
    assert "cannot be read" in run([Line(2, sound, transcript="none.srt")], FAKE, store)[0].error


def test_a_style_of_the_call_holds_for_lines_that_name_none(tmp_path: Path) -> None:
    line, settings = Line(2, tmp_path / "a.wav"), Settings(style="whispered", state="thinking")
    assert (work.asked(line, settings).style, work.asked(line, settings).state) == ("whispered", "thinking")
    own = Line(2, tmp_path / "a.wav", style="tense", state="off")
    assert (work.asked(own, settings).style, work.asked(own, settings).state) == ("tense", "off")


def test_only_formats_that_need_a_head_get_one_unasked(tmp_path: Path) -> None:
    voice(tmp_path / "a.wav")
    path = table(tmp_path, "audio\na.wav\n")
    sizes = []
    for number, more in enumerate(([], ["--head", "builtin"])):
        out = tmp_path / f"out{number}"
        assert command(["batch", str(path), "-o", str(out), "--model", "fake", "--format", "glb fbx", *more]) == 0
        sizes.append([(out / "lines" / f"a.{suffix}").stat().st_size for suffix in ("glb", "fbx")])
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1] / 10


def test_a_clip_that_is_cut_short_is_told(tmp_path: Path) -> None:
    sound = voice(tmp_path / "a.wav", 2.0)
    sound.write_bytes(sound.read_bytes()[:40_000])
    (result,) = run([Line(2, sound, formats=(".npz",))], FAKE, Store(tmp_path / "out", "fake"))
    assert any("cut short" in text for text in result.warnings)


# ---- report ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Counts tags and insists that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_tells_every_line(tmp_path: Path, lines: list[Line]) -> None:
    some = [*lines, Line(9, tmp_path / "<none>.wav", "<b>Bob</b>", transcript="a < b & c", formats=(".csv",))]
    results = run(some, FAKE, Store(tmp_path / "out", "fake"))
    told = json.loads(report.as_json(some, results))
    assert told["totals"] == {"lines": 4, "done": 3, "skipped": 0, "failed": 1, "warnings": 0, "seconds": 1.5}
    assert [row["row"] for row in told["lines"]] == [2, 3, 4, 9]
    assert told["lines"][3]["error"]
    page = Page()
    text = report.as_html(some, results).decode()
    page.feed(text)
    assert not page.open
    assert page.count["tr"] == 5
    assert page.count["svg"] == 3
    assert page.count["polyline"] >= 3
    assert "<b>Bob" not in text
    assert "http" not in text
    assert "a &lt; b &amp; c" in text


# ---- command ---------------------------------------------------------------------------------------------------------


def test_the_command_writes_files_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voice(tmp_path / "a.wav")
    path = table(tmp_path, "audio,formats\na.wav,json npz\n")
    out = tmp_path / "out"
    arguments = ["batch", str(path), "--out", str(out), "--model", "fake", "--json"]
    assert command(arguments) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 1
    assert {p.name for p in out.rglob("*") if p.is_file()} >= {"report.html", "report.json", "a.json", "a.npz"}
    assert command(arguments) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 1
    path.write_text("audio\na.wav\nnone.wav\n")
    assert command(arguments) == 3
    told = capsys.readouterr()
    assert "1 of 2 lines failed" in told.err
    assert "none.wav" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(("more", "code"), [
    (["--fps", "0"], 2), (["--rig", "nonsense"], 2), (["--keys", "7"], 2), (["-j", "0"], 2), (["--format", "docx"], 2),
    (["--head", "no-such-head"], 2)])
def test_bad_options_stop_before_any_work(tmp_path: Path, more: list[str], code: int) -> None:
    voice(tmp_path / "a.wav")
    path = table(tmp_path, "audio\na.wav\n")
    got = command(["batch", str(path), "-o", str(tmp_path / "out"), "--model", "fake", *more])
    assert got == code
    assert not (tmp_path / "out").exists()


# ---- a cluster -----------------------------------------------------------------------------------------------


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from facerig.batch.ray_run import spread_over

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"facerig\[ray\]"), spread_over("127.0.0.1:6379"):
        pass


def test_a_cluster_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from facerig.batch.ray_run import spread_over

    monkeypatch.setitem(sys.modules, "ray", type(sys)("ray"))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(OptionError, match="RAY_AUTH_MODE=token"), spread_over("127.0.0.1:6379"):
        pass


@pytest.mark.soak
def test_a_real_cluster_gives_the_same_files(tmp_path: Path) -> None:
    """A head node of our own on loopback with a token; nothing else can join or call it."""
    pytest.importorskip("ray", reason="ray is not installed (extra ray; 250 MB, so only make soak does it)")
    scratch = tempfile.mkdtemp(prefix="fr-")  # short: sockets lie below it
    for number in range(4):
        voice(tmp_path / f"line{number}.wav", seed=number)
    path = table(tmp_path, "audio,formats\n" + "".join(f"line{n}.wav,csv json\n" for n in range(4)) + "none.wav,csv\n")
    root = Path(__file__).parents[1]
    env = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "PYTHONPATH": str(root),
           "RAY_TMPDIR": scratch, "RAY_USAGE_STATS_ENABLED": "0"}
    ray = Path(sys.executable).with_name("ray")
    start = [str(ray), "start", "--head", "--block", "--node-ip-address=127.0.0.1", "--port=6399", "--num-cpus=2",
             "--include-dashboard=false", "--disable-usage-stats", "--min-worker-port=20000",
             "--max-worker-port=20200"]
    node = subprocess.Popen(start, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)
    try:
        assert node.stdout is not None
        assert any("runtime started" in line for line in node.stdout)
        base = [sys.executable, "-m", "facerig", "batch", str(path), "--json", "--model", "fake"]
        done = [subprocess.run([*base, "-o", str(tmp_path / out), *more], env=env, cwd=root, capture_output=True,
                               text=True, timeout=300)
                for out, more in (("here", []), ("there", ["--ray", "127.0.0.1:6399"]))]
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.communicate(timeout=60)
        shutil.rmtree(scratch, ignore_errors=True)
    assert [json.loads(each.stdout.splitlines()[-1])["done"] for each in done] == [4, 4], done[1].stderr
    for file in (tmp_path / "here" / "lines").iterdir():
        assert file.read_bytes() == (tmp_path / "there" / "lines" / file.name).read_bytes()
