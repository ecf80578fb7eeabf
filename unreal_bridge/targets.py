"""Target addresses: what stands after --to, and the target that it makes. The table below is all that a scheme is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from facerig.errors import OptionError, check_option
from unreal_bridge import ifacialmocap, livelink, openseeface, ue56, vmc, vts
from unreal_bridge.lanes import Target

FRAME_RATES = (60, 30, 20, 15, 12, 10)  # whole parts of the native 60
ANYWHERE = "127.0.0.1"
HIGHEST_PORT = 65_535


@dataclass(frozen=True)
class Address:
    """A target address taken apart: scheme://host:port/subject?option=value."""

    text: str
    scheme: str
    host: str
    port: int
    subject: str
    fps: int
    options: Mapping[str, str]

    def choice(self, option: str, default: str, accepted: tuple[str, ...]) -> str:
        got = self.options.get(option, default)
        check_option(f"{self.text}: {option}", got, ", ".join(accepted), got in accepted)
        return got

    def number(self, option: str, default: int, low: int, high: int) -> int:
        got = self.options.get(option, str(default))
        ok = got.isascii() and got.isdigit() and low <= int(got) <= high
        check_option(f"{self.text}: {option}", got, f"{low} to {high}", ok)
        return int(got)


@dataclass(frozen=True)
class Scheme:
    """A protocol as a target: its default port, its own options, and what makes it."""

    port: int
    options: tuple[str, ...]
    make: Callable[[Address], Target]
    about: str
    serves: bool = False  # listens at its port, so that each face needs its own
    single: bool = False  # carries no subject: two faces at one port would mix


def parse(text: str, subject: str = "facerig") -> Address:
    """An address with its defaults filled in; OptionError says what is accepted."""
    parts, port = _split(text)
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        raise OptionError(f"target: got {text!r}, accepted: {', '.join(f'{name}://' for name in SCHEMES)}, "
                          "as in livelink://192.168.1.20:11111/Ada")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    accepted = (*scheme.options, "fps")
    unknown = [name for name in options if name not in accepted]
    if unknown or parts.fragment:
        raise OptionError(f"{text}: option {(unknown or ['#'])[0]!r}, accepted: {', '.join(accepted)}")
    host, named = parts.hostname or ANYWHERE, subject_in(parts)
    address = Address(text, parts.scheme, host, port or scheme.port, named or subject, 60, options)
    fps = address.number("fps", 60, 1, 60)
    check_option(f"{text}: fps", fps, ", ".join(map(str, FRAME_RATES)), fps in FRAME_RATES)
    return replace(address, fps=fps)


def subject_in(parts: SplitResult) -> str:
    """The face that an address names, to send to or to listen at; '' where it names none."""
    named = unquote(parts.path.strip("/"))
    if named and SCHEMES[parts.scheme].single:
        raise OptionError(f"{parts.geturl()}: got the subject {named!r}, accepted: none; {parts.scheme} has no names "
                          "for faces")
    return named


def make(text: str, subject: str = "facerig", number: int = 0, several: bool = False) -> Target:
    """The target of an address. Further faces (`number` 1, 2, ...) of a server get the ports after the first; `several`
    faces have their own names, so the address gives none."""
    address = parse(text, subject)
    scheme = SCHEMES[address.scheme]
    if several and subject_in(urlsplit(text)):
        raise OptionError(f"{text}: got one subject for several faces, accepted: an address without it; each face is "
                          f"called as its source, e.g. {subject!r}")
    if number and (scheme.serves or address.options.get("mode") == "phone"):
        if address.port + number > HIGHEST_PORT:
            raise OptionError(f"{text}: got no port after {HIGHEST_PORT} for the face {subject!r}, accepted: a port "
                              f"of at most {HIGHEST_PORT - number}; each face is served at its own, one after another")
        address = replace(address, port=address.port + number)
    elif number and scheme.single:
        raise OptionError(f"{text}: got several faces, accepted: one, since {address.scheme} has no names for them; "
                          "run facerig live once for each")
    return scheme.make(address)


def _split(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        if parts.port == 0 or not text.isprintable():
            raise ValueError("port 0" if parts.port == 0 else "unprintable characters")
        _check_host(parts.hostname or "")
        return parts, parts.port
    except ValueError as error:
        raise OptionError(f"target: got {text!r} ({error}), accepted: scheme://host:port/subject") from None


def _check_host(host: str) -> None:
    """ValueError where no name server could be asked for the name, so that it is told now and not at every frame."""
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"host {host!r}: the parts of a name, between dots, have 1 to 63 letters or digits") from None


def _udp(address: Address, encode: Callable[..., list[bytes]]) -> Target:
    from unreal_bridge.udp import UdpTarget

    return UdpTarget(address.text, address.host, address.port, encode, address.fps)


def _livelink(address: Address) -> Target:
    from unreal_bridge.udp import livelink_encoder

    device = address.options.get("device") or livelink.device_id(address.subject)
    livelink.encode(livelink.Packet(address.subject, device))  # names that do not fit fail now, not at every frame
    return _udp(address, livelink_encoder(address.subject, device))


def _ue56(address: Address) -> Target:
    from unreal_bridge import metahuman
    from unreal_bridge.ue56_server import Ue56Target

    head = address.choice("head", "degrees", tuple(metahuman.HEADS))
    offers = metahuman.offers(address.subject, address.options.get("controls", "metahuman"),
                              address.options.get("first", "mha"),
                              address.choice("sticky", "off", ("on", "off")) == "on")
    device = ue56.Device(livelink.device_id(address.subject), address.subject)
    return Ue56Target(address.text, address.host, address.port, offers, device, address.fps, head)


def _vmc(address: Address) -> Target:
    from facerig.rig import rig_names
    from unreal_bridge.udp import vmc_encoder

    names = address.choice("names", "arkit-pascal", ("vrm0", *rig_names()))
    bones = address.choice("bones", "on", ("on", "off")) == "on"
    return _udp(address, vmc_encoder(names, bones, address.number("size", vmc.LARGEST, 256, 65_507)))


def _phone(dialect: ifacialmocap.Dialect) -> Callable[[Address], Target]:
    def made(address: Address) -> Target:
        if address.choice("mode", "push", ("push", "phone")) == "push":
            from unreal_bridge.udp import ifacialmocap_encoder

            return _udp(address, ifacialmocap_encoder(dialect))
        from unreal_bridge.phone import PhoneTarget

        reply = address.number("reply", address.port, 1, 65_535)
        tcp = address.number("tcp", ifacialmocap.TCP_PORT, 1, 65_535)
        return PhoneTarget(address.text, address.host, address.port, address.fps, reply, tcp)

    return made


def _vts(address: Address) -> Target:
    from unreal_bridge.vts_client import VtsTarget

    return VtsTarget(address.text, address.host, address.port, address.fps)


def _openseeface(address: Address) -> Target:
    from unreal_bridge.udp import openseeface_encoder

    return _udp(address, openseeface_encoder())


_PHONE = ("mode", "reply", "tcp")
_IFM, _FM3D = ifacialmocap.IFM, ifacialmocap.FM3D
SCHEMES: dict[str, Scheme] = {
    "livelink": Scheme(livelink.PORT, ("device",), _livelink, "Live Link Face, as an iPhone sends it"),
    "ue56": Scheme(ue56.PORT, ("first", "controls", "head", "sticky"), _ue56,
                   "server for Unreal 5.6's Live Link Face source", serves=True),
    "vmc": Scheme(vmc.PORT, ("names", "bones", "size"), _vmc, "VMC: VSeeFace, Warudo, VMagicMirror, Unity, Godot",
                  single=True),
    "ifm": Scheme(ifacialmocap.PORT, _PHONE, _phone(_IFM), "iFacialMocap", single=True),
    "fm3d": Scheme(ifacialmocap.FM3D_PORT, _PHONE, _phone(_FM3D), "FaceMotion3D", single=True),
    "vts": Scheme(vts.PORT, (), _vts, "VTube Studio plug-in", single=True),
    "osf": Scheme(openseeface.PORT, (), _openseeface, "OpenSeeFace", single=True),
}
