"""Heads by name: what is downloaded is checked before it is kept. A loopback server stands for the publisher's."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facerig.errors import HeadError, OptionError, ServiceError
from facerig.heads import fetch as fetching
from facerig.heads import load_head
from facerig.heads.fetch import ICT, SOURCES, TARGETS, digests, fetch, licence_text, obj_places, sha256
from facerig.heads.published import ICT_TRAVEL, MAKEHUMAN_TARGETS
from facerig.heads.store import stored_names

BASE = SOURCES["makehuman"].files[0][0]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An empty publisher: its address, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", folder
    server.shutdown()
    thread.join()
    server.server_close()


def put(folder: Path, path: str, data: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def nothing(file: str, got: int, total: int) -> None:
    pass


def publish(folder: Path, source: Path) -> None:
    put(folder, BASE, (source / "base.obj").read_bytes())
    targets = source / "arkit_and_oculus_targets"
    put(folder, TARGETS, zipped({f"targets/{n}.target": (targets / f"{n}.target").read_bytes()
                                 for n in MAKEHUMAN_TARGETS}))


def test_makehuman_is_fetched_checked_and_kept(mirror: tuple[str, Path], shared_data: Path, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                               ) -> None:
    from facerig.cli import run

    address, folder = mirror
    publish(folder, shared_data / "heads" / "makehuman")
    monkeypatch.setenv("FACERIG_HOME", str(tmp_path / "home"))
    assert run(["heads", "add", "makehuman", "--mirror", address, "--accept-licence"]) == 0
    assert "CC0" in capsys.readouterr().err
    assert {"jawOpen", "tongueOut"} < set(load_head("makehuman").shape_names)

    changed = (folder / BASE).read_bytes().replace(b"\nv ", b"\nv 9", 1)
    put(folder, BASE, changed)
    assert run(["heads", "add", "makehuman", "--mirror", address, "--accept-licence", "--name", "other"]) == 3
    assert "SHA-256" in capsys.readouterr().err
    assert stored_names() == ["makehuman"]


def test_a_licence_that_is_not_accepted_stops_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from facerig.cli import run

    monkeypatch.setenv("FACERIG_HOME", str(tmp_path))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    monkeypatch.setattr(fetching, "_download", lambda *_: pytest.fail("was fetched"))
    assert run(["heads", "add", "ict"]) == 2
    assert stored_names() == []


def test_nobody_to_ask_about_the_licence_names_the_option(shared_data: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    from facerig.cli import run

    monkeypatch.setenv("FACERIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["heads", "add", "ict", str(shared_data / "heads" / "ict_facekit")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("facerig: error: the licence: got no answer (standard input has ended), accepted: y or n; ")
    assert "--accept-licence" in told

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", SimpleNamespace(readline=stopped, isatty=lambda: False))
    monkeypatch.setattr("builtins.input", stopped)
    assert run(["heads", "add", "ict", str(shared_data / "heads" / "ict_facekit")]) == 130
    assert stored_names() == []


@pytest.mark.parametrize(("name", "said"), [
    ("none", "no such file or folder"), ("empty", "is an empty folder")])
@pytest.mark.parametrize("what", ["ict", "makehuman"])
def test_a_copy_that_is_not_there_is_told_before_the_licence(what: str, name: str, said: str, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    from facerig.cli import run

    monkeypatch.setenv("FACERIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: pytest.fail("was asked"))
    (tmp_path / "empty").mkdir()
    assert run(["heads", "add", what, str(tmp_path / name)]) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"facerig: error: {tmp_path / name}: {said}, accepted: a folder with a copy of https://")
    assert told.endswith(f"facerig heads add {what}\n")


def test_progress_is_told_and_a_missing_file_names_the_way_out(mirror: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = mirror
    seen: list[tuple[str, int, int]] = []
    put(folder, BASE, b"v 0 0 0\n" * 20_000)
    with pytest.raises(HeadError, match=r"SHA-256.*expected.*nothing was kept"):
        fetch("makehuman", tmp_path / "a", lambda *row: seen.append(row), mirror=address)
    assert seen[-1] == ("base.obj", 160_000, 160_000)
    assert len(seen) > 1
    with pytest.raises(ServiceError, match=r"cannot be fetched.*Without network.*facerig heads add ict PATH"):
        fetch("ict", tmp_path / "a", nothing, mirror=address)
    with pytest.raises(ServiceError, match="heads add makehuman PATH"):
        fetch("makehuman", tmp_path / "a", nothing, mirror="http://127.0.0.1:9/")
    with pytest.raises(OptionError, match="accepted: ict, makehuman"):
        licence_text("metahuman")


@pytest.mark.parametrize(("archive", "words"), [
    (b"no zip at all", "not a zip"), (zipped({}), "no browDownLeft.target"),
    (zipped({f"{name}.target": b"1 0 0 0\n" for name in MAKEHUMAN_TARGETS}), "SHA-256"),
    (zipped({f"{name}.target": bytes(17 << 20) for name in list(MAKEHUMAN_TARGETS)[:1]}), "claims 17 MiB"),
    (zipped({f"../../{name}.target": b"1 0 0 0\n" for name in MAKEHUMAN_TARGETS}), "SHA-256")])
def test_archives_are_not_trusted(archive: bytes, words: str, mirror: tuple[str, Path], tmp_path: Path,
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    address, folder = mirror
    base = b"v 0 0 0\n"
    monkeypatch.setitem(SOURCES, "makehuman", fetching.Source("t", "l", "a", ("p",), ((BASE, sha256(base)),
                                                                                      (TARGETS, ""))))
    put(folder, BASE, base)
    put(folder, TARGETS, archive)
    with pytest.raises(HeadError, match=words):
        fetch("makehuman", tmp_path / "kept", nothing, mirror=address)
    assert not list((tmp_path / "kept").glob("*.target"))
    assert not list(tmp_path.parent.glob("*.target"))


def test_expressions_of_ict_are_known_by_what_they_do(mirror: tuple[str, Path], shared_data: Path, tmp_path: Path,
                                                      ) -> None:
    """Files as the publisher's are made from the neutral mesh and the offsets at hand; one is then exchanged."""
    address, folder = mirror
    source = shared_data / "heads" / "ict_facekit"
    neutral = (source / "generic_neutral_mesh.obj").read_bytes()
    rest = obj_places(neutral, "neutral")
    put(folder, ICT + "generic_neutral_mesh.obj", neutral)
    arrays = np.load(source / "ict_expressions.npz")
    rows = {str(name): number for number, name in enumerate(arrays["names"])}
    some = ("jawOpen", "eyeBlink_L", "mouthSmile_R")
    published = {name: ICT_TRAVEL[name] for name in some}
    for name in some:
        places = rest + arrays["deltas"][rows[name]].astype(np.float32)
        put(folder, f"{ICT}{name}.obj", "".join("v {:.6f} {:.6f} {:.6f}\n".format(*place) for place in places).encode())
    files = ((ICT + "generic_neutral_mesh.obj", digests("ict")["generic_neutral_mesh.obj"]),
             *((f"{ICT}{name}.obj", "") for name in published))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "ict", fetching.Source("t", "l", "a", ("p",), files))
        fetch("ict", tmp_path, nothing, mirror=address)
        assert sorted(p.stem for p in tmp_path.glob("*.obj"))[0] == "eyeBlink_L"
        put(folder, f"{ICT}jawOpen.obj", (folder / f"{ICT}mouthSmile_R.obj").read_bytes())
        with pytest.raises(HeadError, match=r"jawOpen\.obj: moves the head by"):
            fetch("ict", tmp_path, nothing, mirror=address)
        fetch("ict", tmp_path, nothing, unverified=True, mirror=address)


def test_vertices_that_are_no_numbers_are_told() -> None:
    for data, words in ((b"v a b c\n", "no three numbers"), (b"v 1 2 3\n", "accepted: .26719"), (b"", "accepted")):
        with pytest.raises(HeadError, match=words):
            obj_places(data, "x")
