"""Curves (and a Head) to the bytes of every file that animation tools open, and back.

`EXPORTERS` and `READERS` are the format tables, by file suffix; a longer suffix names a variant (`take.a2f.csv`).
Nothing here touches the disk but `read`; `facerig.files.write_file` is what writes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np

from exporters.base import Exporter, ExportOptions, Reader
from exporters.rigs import to_rig
from facerig.curves import Curves
from facerig.errors import CurvesError, InputError, OptionError, RigError
from facerig.mesh import Head
from facerig.rig import identify, rig

__all__ = ["EXPORTERS", "READERS", "ExportOptions", "Exporter", "Reader", "export", "format_of", "held", "read",
           "undone"]

_SCENE = ("joints", "name")

# suffix | what it is | who writes it | head | a take without frames | options that count | its own rig
EXPORTERS: dict[str, Exporter] = {row.suffix: row for row in (
    Exporter(".csv", "Live Link Face CSV", "livelink_csv:write", heeds=("calibrated",), rig="livelink-csv"),
    Exporter(".wide.csv", "plain CSV with seconds", "tables:write_wide", empty=True),
    Exporter(".a2f.csv", "Audio2Face animation_frames CSV", "tables:write_a2f", rig="tables:as_a2f"),
    Exporter(".unreal.csv", "Unreal curve table CSV", "tables:write_curve_table_csv"),
    Exporter(".json", "facerig JSON", "own:write_json", empty=True),
    Exporter(".a2f.json", "Omniverse Audio2Face JSON", "services:write_a2f", rig="arkit"),
    Exporter(".azure.json", "Azure viseme JSON", "services:write_azure", rig="services:as_azure"),
    Exporter(".unreal.json", "Unreal curve table JSON", "tables:write_curve_table_json"),
    Exporter(".rhubarb.json", "Rhubarb mouth cues JSON", "cues:write_json", heeds=("name",)),
    Exporter(".tsv", "Rhubarb mouth cues TSV", "cues:write_tsv"),
    Exporter(".xml", "Rhubarb mouth cues XML", "cues:write_xml", heeds=("name",)),
    Exporter(".dat", "Moho / Papagayo switch track", "cues:write_moho"),
    Exporter(".srt", "SubRip words or phones", "subtitles:write_srt"),
    Exporter(".vtt", "WebVTT words or phones", "subtitles:write_vtt"),
    Exporter(".npz", "facerig npz", "own:write_npz", empty=True),
    Exporter(".flame.npz", "FLAME npz, smplx names", "flame:write_smplx"),
    Exporter(".deca.npz", "FLAME npz, DECA / EMOCA names", "flame:write_deca"),
    Exporter(".smirk.npz", "FLAME npz, SMIRK names", "flame:write_smirk"),
    Exporter(".vhap.npz", "FLAME npz, VHAP / GaussianAvatars names", "flame:write_vhap"),
    Exporter(".fbx", "FBX, a head or curves alone", "fbx:write", "optional", heeds=(*_SCENE, "keys", "fbx_version")),
    Exporter(".curves.fbx", "FBX, curves alone", "fbx:write_curves", heeds=("name", "keys", "fbx_version")),
    Exporter(".glb", "glTF binary", "gltf:write_glb", "needed", heeds=(*_SCENE, "keys", "quantise", "audio"),
             together=True),
    Exporter(".gltf", "glTF text", "gltf:write_gltf", "needed", heeds=(*_SCENE, "keys", "quantise", "audio"),
             together=True),
    Exporter(".usda", "USD text", "usd:write_usda", "optional", heeds=("joints", "layout")),
    Exporter(".usdc", "USD binary", "usd:write_usdc", "optional", heeds=("joints", "layout")),
    Exporter(".usd", "USD binary", "usd:write_usdc", "optional", heeds=("joints", "layout")),
    Exporter(".usdz", "USD package", "usd:write_usdz", "optional", heeds=("joints", "layout")),
    Exporter(".a2f.usda", "USD text, Audio2Face layout", "usd:write_a2f_usda", rig="arkit"),
    Exporter(".a2f.usdc", "USD binary, Audio2Face layout", "usd:write_a2f_usdc", rig="arkit"),
    Exporter(".anim", "Maya animation curves", "maya:write_anim", heeds=("keys", "node")),
    Exporter(".atom", "Maya ATOM", "maya:write_atom", heeds=("keys", "node")),
)}

READERS: dict[str, Reader] = {row.suffix: row for row in (
    Reader(".csv", "Live Link Face, wide, Audio2Face or Unreal curve table CSV", "tables:read_csv"),
    Reader(".json", "facerig, Audio2Face, Azure, Unreal or Rhubarb JSON", "json_files:read"),
    Reader(".npz", "facerig or FLAME npz", "flame:read"),
    Reader(".tsv", "Rhubarb mouth cues", "cues:read_tsv"),
    Reader(".xml", "Rhubarb mouth cues", "cues:read_xml"),
    Reader(".dat", "Moho / Papagayo switch track", "cues:read_moho"),
    Reader(".srt", "SubRip, as marks", "subtitles:read"),
    Reader(".vtt", "WebVTT, as marks", "subtitles:read"),
    Reader(".fbx", "FBX animation (through ufbx)", "fbx_reader:read"),
    Reader(".glb", "glTF animation", "gltf_reader:read"),
    Reader(".gltf", "glTF animation", "gltf_reader:read"),
    Reader(".usda", "USD skeletal animation", "usd_reader:read", "usd_reader:read_file"),
    Reader(".usdc", "USD skeletal animation", "usd_reader:read", "usd_reader:read_file"),
    Reader(".usd", "USD skeletal animation", "usd_reader:read", "usd_reader:read_file"),
    Reader(".usdz", "USD skeletal animation", "usd_reader:read", "usd_reader:read_file"),
    Reader(".anim", "Maya animation curves", "maya:read"),
    Reader(".atom", "Maya ATOM", "maya:read"),
)}


def format_of(name: str | os.PathLike[str]) -> str:
    """The longest suffix of a file name (or, as text, of a bare `csv`, `a2f.csv`) that the table knows.

    A path's name has a stem before its suffix: `curves.fbx` is an FBX file called curves.
    """
    parts = Path(os.fspath(name).lower()).name.lstrip(".").split(".")
    for first in range(isinstance(name, os.PathLike), len(parts)):
        suffix = "." + ".".join(parts[first:])
        if suffix in EXPORTERS:
            return suffix
    raise OptionError(f"format: got {os.fspath(name)!r}, accepted: {', '.join(EXPORTERS)}")


def export(curves: Curves, suffix: str | os.PathLike[str], head: Head | None = None,
           options: ExportOptions | None = None) -> bytes:
    """The file's bytes, complete and checked, for a suffix, a format name or a whole file name."""
    if not isinstance(curves, Curves):
        raise CurvesError(f"curves: got {type(curves).__name__}, accepted: Curves, as facerig.animate and "
                          "facerig.load give")
    chosen = options or ExportOptions()
    exporter = EXPORTERS[format_of(suffix)]
    if chosen.rig:
        curves = to_rig(curves, chosen.rig)
    return exporter(curves, head, chosen)


def held(curves: Curves, suffix: str, rig_first: str | None = None) -> Curves:
    """The curves as a format's file holds them; some have the channels of one rig, whatever comes."""
    return EXPORTERS[suffix].held(to_rig(curves, rig_first) if rig_first else curves)


def undone(name: str | None, suffix: str) -> str:
    """What to tell who asks for a rig and a format that holds another's channels; empty where they agree."""
    if not name:
        return ""
    asked = rig(name).names
    try:
        found = held(Curves(asked, 60, np.zeros((1, len(asked)), np.float32)), suffix).channels
    except RigError:  # the export will say so
        return ""
    if set(found) == set(asked):
        return ""
    of = identify(found)
    whose = f"the {len(found)} channels of {of.name if of else 'its own'}"
    return (f"{suffix} holds {whose}, whatever comes: {name} is turned back into them; .npz, .json and .curves.fbx "
            f"keep it")


def read(path: str | os.PathLike[str], fps: int | None = None) -> Curves:
    """Curves from a file. `fps`, where it holds no clock or a wrong one: its frames stay and are taken to be at that
    rate; a file of instants without frames (cues, subtitles, curve tables) is read at that rate."""
    file = Path(path)
    try:
        if stat.S_ISDIR(file.stat().st_mode):
            raise InputError(f"{file}: cannot be read: is a folder; give a curves file ({', '.join(READERS)})")
        reader = READERS.get(file.suffix.lower())
        if reader is None:
            raise OptionError(f"{file.name}: suffix {file.suffix!r}, readable: {', '.join(READERS)}")
        data = file.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise CurvesError(f"{file.name}: the file is empty")
    return reader(data, file.name, fps, file)
