"""Who may speak: keys, certificates, sizes, slow and rude peers; and that nothing leaks."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import grpc
import pytest
from server_kit import END, RATE, animate, audio, channel, header, noise, process_audio, run, said, serving, until

from facerig.client import Stream, Target, Wish
from facerig.errors import FacerigError, InputError, OptionError, ServiceError
from facerig.server import protos, security
from facerig.server.config import ServerConfig
from facerig.v1 import animation_pb2 as pb

TINY = {"sessions": 4, "max_batch": 4, "capacity": 4}
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
KEY, OTHER = "a-long-and-random-key", "another-long-random-key"


@pytest.fixture
def keys(tmp_path):
    file = tmp_path / "keys.toml"
    file.write_text(f'[game]\nsha256 = "{security.hash_key(KEY)}"\nsessions = 2\n'
                    f'[tools]\nsha256 = "{security.hash_key(OTHER)}"\nnew_per_minute = 3\n')
    return str(file)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Two authorities; a server's certificate, an expired one, a client's."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for ca in ("ca", "wrong"):
        openssl("req", "-x509", *EC, "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2",
                "-subj", f"/CN={ca}")
    for name, validity in (("server", ("-days", "2")), ("client", ("-days", "2")),
                           ("old", ("-not_before", "20200101000000Z", "-not_after", "20200201000000Z"))):
        openssl("req", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                "/CN=localhost")
        if name == "old":
            expired(folder, openssl, validity)
            continue
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.pem", "-extfile", "san", *validity)
    return folder


def expired(folder: Path, openssl, validity):
    """`openssl x509` cannot write the past before version 3.4; `openssl ca` can."""
    (folder / "index").touch()
    (folder / "serial").write_text("01\n")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n")
    openssl("ca", "-batch", "-config", "ca.cnf", "-in", "old.csr", "-cert", "ca.pem", "-keyfile", "ca.key", "-out",
            "old.pem", "-startdate", validity[1], "-enddate", validity[3], "-extfile", "san", "-notext")


async def ask(port, metadata=()):
    async with channel(port) as link:
        return await said(animate(link, iter([header(), audio(noise(0.1)), END]), metadata))


# ---- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metadata", "code"), [
    ((), "UNAUTHENTICATED"),
    ((("authorization", "Bearer wrong"),), "UNAUTHENTICATED"),
    ((("authorization", f"Basic {KEY}"),), "UNAUTHENTICATED"),
    ((("authorization", f"Bearer {KEY}x"),), "UNAUTHENTICATED"),
    ((("x-api-key", ""),), "UNAUTHENTICATED"),
    ((("authorization", f"Bearer {KEY}"),), "OK"),
    ((("x-api-key", OTHER),), "OK"),
])
def test_keys(keys, metadata, code):
    async def work():
        async with serving(**TINY, api_keys=keys) as server:
            answers, found = await ask(server.ports["facerig"], metadata)
            assert server.worker.free == 4
            return answers, found

    answers, found = run(work())
    assert found is getattr(grpc.StatusCode, code)
    assert bool(answers) == (code == "OK")  # nothing at all is said to a stranger


def test_strangers_reach_no_method_but_health(keys):
    async def work():
        async with serving(**TINY, api_keys=keys, a2f_port=0) as server, channel(server.ports["a2f"]) as link:
            codes = {}
            info = link.unary_unary(
                "/facerig.v1.Animation/Info", pb.InfoRequest.SerializeToString, pb.InfoResponse.FromString
            )
            service = "nvidia_ace.services.a2f_authoring.v1.A2FAuthoringService"
            path, asked, _ = protos.method(service, "UploadAudioClip")
            upload = link.unary_unary(path, asked.SerializeToString)
            for name, call in (("info", info(pb.InfoRequest())), ("upload", upload(asked()))):
                try:
                    await call
                except grpc.aio.AioRpcError as error:
                    codes[name] = error.code()
            codes["a2f"] = (await said(process_audio(link, iter([]))))[1]
            path, asked, answer = protos.method("grpc.health.v1.Health", "Check")
            codes["health"] = (await link.unary_unary(path, asked.SerializeToString, answer.FromString)(asked())).status
            return codes

    refused = grpc.StatusCode.UNAUTHENTICATED
    assert run(work()) == {"info": refused, "upload": refused, "a2f": refused, "health": 1}


def test_limits_of_a_key(keys):
    async def work():
        async with serving(**TINY, api_keys=keys) as server, channel(server.ports["facerig"]) as link:
            mine = (("authorization", f"Bearer {KEY}"),)
            calls = [animate(link, None, mine) for _ in range(2)]
            for call in calls:
                await call.write(header(mode=pb.Pacing.MODE_REALTIME))
                await call.read()
            third = await said(animate(link, iter([header(), END]), mine))
            for call in calls:
                call.cancel()
            await until(lambda: not server.house.guests)
            again = await said(animate(link, iter([header(), END]), mine))
            theirs = [(await said(animate(link, iter([header(), END]), (("x-api-key", OTHER),))))[1] for _ in range(4)]
            return third, again[1], theirs

    (answers, code), again, theirs = run(work())
    ok, full = grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (code, again) == (full, ok)
    assert "'game'" in answers[-1].status.reason
    assert theirs == [ok, ok, ok, full]


def test_key_files_are_checked_and_hold_no_key(tmp_path, keys):
    assert KEY not in Path(keys).read_text()
    whole = f'[a]\nsha256 = "{"0" * 64}"\n'
    for text in (f"{whole}session = 1\n", f"{whole}new_per_min = 3\n", "", "[a]\n",
                 '[a]\nsha256 = "zz"\n', "not toml", '[a]\nsha256 = "00"\n'):
        bad = tmp_path / "bad.toml"
        bad.write_text(text)
        with pytest.raises(InputError, match=r"bad\.toml"):
            security.Keys.load(str(bad))
    with pytest.raises(InputError, match="cannot be read"):
        security.Keys.load(str(tmp_path / "absent.toml"))
    with pytest.raises(OptionError, match="key"):
        security.hash_key("short")
    assert len(security.new_key()) >= security.MIN_KEY


# ---- certificates --------------------------------------------------------------------------------------------------


# what the client does; what the server asks; what comes of it
CERTIFICATES = [
    ("right", {}, {}, 12),
    ("wrong authority", {"ca": "wrong.pem"}, {}, ServiceError),
    ("plaintext to TLS", {"tls": False, "ca": ""}, {}, ServiceError),
    ("expired", {}, {"tls_cert": "old.pem", "tls_key": "old.key"}, ServiceError),
    ("wrong name", {"server_name": "elsewhere.example"}, {}, ServiceError),
    ("no certificate", {}, {"tls_client_ca": "ca.pem"}, ServiceError),
    ("foreign certificate", {"cert": "wrong.pem", "key": "wrong.key"}, {"tls_client_ca": "ca.pem"}, ServiceError),
    ("a client's is expired", {"cert": "old.pem", "key": "old.key"}, {"tls_client_ca": "ca.pem"}, ServiceError),
    ("own certificate", {"cert": "client.pem", "key": "client.key"}, {"tls_client_ca": "ca.pem"}, 12),
]


@pytest.mark.parametrize(("name", "client", "server", "outcome"), CERTIFICATES, ids=[row[0] for row in CERTIFICATES])
def test_certificates(pki, name, client, server, outcome):
    def place(options):
        return {key: str(pki / value) if isinstance(value, str) and value.endswith((".pem", ".key")) else value
                for key, value in options.items()}

    async def work():
        server_options = place(server)
        cert = {"tls_cert": server_options.pop("tls_cert", str(pki / "server.pem")),
                "tls_key": server_options.pop("tls_key", str(pki / "server.key"))}
        async with serving(**TINY, **cert, **server_options) as running:
            options = {"tls": True, "ca": str(pki / "ca.pem"), "retry_seconds": 0.3, **place(client)}
            target = Target((f"localhost:{running.ports['facerig']}",), **options)
            try:
                async with Stream(target, Wish(rate=RATE)) as stream:
                    await stream.send(noise(0.2).tobytes())
                    await stream.end()
                    found = [event async for event in stream]
            except ServiceError as error:
                found = error
            return found, running.worker.free

    found, free = run(work())
    assert free == 4
    if isinstance(outcome, int):
        assert len(found) == outcome
    else:
        assert isinstance(found, outcome)


@pytest.mark.parametrize(("cert", "key", "ca", "names"), [
    ("server.pem", "client.key", "", ("client.key", "server.pem", "key values mismatch")),
    ("broken.pem", "server.key", "", ("tls_cert", "broken.pem")),
    ("server.pem", "broken.pem", "", ("tls_key", "broken.pem")),
    ("server.pem", "server.key", "broken.pem", ("tls_client_ca", "broken.pem")),
    ("server.pem", "server.key", "ca.key", ("tls_client_ca", "ca.key")),
])
def test_certificates_that_do_not_fit_are_named(pki, cert, key, ca, names):
    (pki / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    config = ServerConfig(tls_cert=str(pki / cert), tls_key=str(pki / key), tls_client_ca=str(pki / ca) if ca else "")
    with pytest.raises(InputError) as error:
        security.server_credentials(config)
    assert all(name in str(error.value) for name in names)


@pytest.mark.parametrize("options", [
    {"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.0.2.1"}, {"tls_cert": "a.pem"}, {"tls_client_ca": "a.pem"},
])
def test_no_open_door_by_accident(options):
    with pytest.raises(OptionError):
        ServerConfig(**options)


def test_an_open_door_needs_a_word():
    assert ServerConfig(host="0.0.0.0", plaintext=True).host == "0.0.0.0"
    assert ServerConfig().host == "127.0.0.1"


# ---- sizes and manners ---------------------------------------------------------------------------------------------


def test_an_oversized_message_ends_its_own_stream_alone():
    async def work():
        async with (
            serving(**TINY, clip_seconds=1, chunk_bytes=65_536) as server,
            channel(server.ports["facerig"]) as link,
        ):
            huge = await said(
                animate(link, iter([header(), pb.AnimateRequest(audio=pb.AudioChunk(data=b"\0" * 9_000_000))]))
            )
            await until(lambda: not server.house.guests)
            return huge[1], (await said(animate(link, iter([header(), audio(noise(0.1)), END]))))[1]

    assert run(work()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK)


def test_slow_peers_hold_no_slot():
    """Connections that send half a greeting, and calls without a header, cost nobody a stream and are cut."""

    async def work():
        async with serving(**TINY, header_seconds=0.4) as server, channel(server.ports["facerig"]) as link, channel(
                server.ports["facerig"]) as quick:
            socks = [await asyncio.open_connection("127.0.0.1", server.ports["facerig"]) for _ in range(50)]
            for _, writer in socks:
                writer.write(b"PRI * HTTP/2.0\r\n")
            waiting = [animate(link, None) for _ in range(20)]
            _, code = await said(animate(quick, iter([header(), audio(noise(0.1)), END])))
            assert code is grpc.StatusCode.OK
            assert server.worker.free == 4
            cut = [await said(call) for call in waiting]
            ends = await asyncio.gather(
                *(asyncio.wait_for(reader.read(), 10) for reader, _ in socks), return_exceptions=True
            )
            for _, writer in socks:
                writer.close()
            return cut, ends

    cut, ends = run(work())
    assert {code for _, code in cut} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert all(isinstance(end, bytes | ConnectionError) for end in ends)  # closed by the server, not by our patience


def test_no_audio_and_no_key_in_the_log(keys, caplog):
    secret = noise(0.3)

    async def work():
        async with serving(**TINY, api_keys=keys) as server:
            await ask(server.ports["facerig"], (("authorization", f"Bearer {KEY}"),))
            await ask(server.ports["facerig"], (("authorization", "Bearer someone-elses-secret"),))
            async with channel(server.ports["facerig"]) as link:
                await said(animate(link, iter([header(), audio(secret), header()]), (("x-api-key", OTHER),)))

    with caplog.at_level("DEBUG", logger="facerig.server"):
        run(work())
    text = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for hidden in (KEY, OTHER, "someone-elses-secret", secret.tobytes().hex()[:40], repr(secret.tobytes()[:8])):
        assert hidden not in text
    assert "secret" not in repr(Target(api_key="secret"))


def test_names_from_the_wire_open_no_file(monkeypatch):
    """Every string that a client can send, as a path: nothing is opened but what the server has open anyway."""
    opened = []
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: opened.append(str(self)) or real(self, *a, **k))
    evil = "../../../../etc/passwd"
    requests = [header(rig=evil), header(style=evil), header(resume=pb.Resume(session_id=evil, last_frame=-1)),
                header(emotion=pb.Emotion(weights={evil: 1.0})), header(gains=pb.Gains(regions={evil: 1.0}))]

    async def work():
        async with serving(**TINY) as server, channel(server.ports["facerig"]) as link:
            for request in requests:
                await said(animate(link, iter([request, END])))

    run(work())
    assert not [path for path in opened if "passwd" in path]


def test_reflection_is_off_beyond_loopback():
    async def services(**options):
        async with serving(**TINY, **options) as server, channel(server.ports["facerig"]) as link:
            call = link.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
                iter([b":\x00"])
            )
            try:
                return [answer async for answer in call]
            except grpc.aio.AioRpcError as error:
                return error.code()

    pytest.importorskip("grpc_reflection")
    assert b"facerig.v1.Animation" in run(services())[0]
    assert run(services(host="0.0.0.0", plaintext=True)) is grpc.StatusCode.UNIMPLEMENTED


def test_errors_are_of_our_tree():
    assert issubclass(ServiceError, FacerigError)
