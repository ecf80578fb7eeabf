"""An FBX document under construction: objects, connections, head matter, takes. Knows the format's objects and no
faces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from exporters.fbx_container import (
    CREATION_TIME,
    CUSTOM_MODE,
    FILE_ID,
    TIME_MODES,
    Node,
    double,
    encode,
    flag,
    integer,
    leaf,
    long,
    named,
    raw,
    text,
    ticks,
)

CREATOR = "facerig"
FIRST_ID = 1_000_000  # ids need only differ; counting keeps files equal from run to run

# FBX class of an object's node | its name's class
CLASSES = {"Geometry": "Geometry", "Model": "Model", "NodeAttribute": "NodeAttribute", "Material": "Material",
           "Deformer": "Deformer", "SubDeformer": "SubDeformer", "Pose": "Pose", "AnimationStack": "AnimStack",
           "AnimationLayer": "AnimLayer", "AnimationCurveNode": "AnimCurveNode", "AnimationCurve": "AnimCurve"}


def prop(name: str, kind: str, label: str, flags: str, *values: bytes) -> Node:
    return leaf("P", text(name), text(kind), text(label), text(flags), *values)


def properties(*rows: Node) -> Node:
    return Node("Properties70", (), rows)


def vector(name: str, kind: str, values: Sequence[float], flags: str = "") -> Node:
    return prop(name, kind, "", flags, *(double(value) for value in values))


@dataclass
class Document:
    """Objects are numbered in the order in which they are added."""

    objects: list[Node] = field(default_factory=list)
    connections: list[Node] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, name: str, subclass: str, children: Sequence[Node], ended: bool = False) -> int:
        """`kind` is the record's name; a SubDeformer is a Deformer record of another class."""
        number = FIRST_ID + len(self.objects)
        record = "Deformer" if kind == "SubDeformer" else kind
        self.objects.append(Node(record, (long(number), named(name, CLASSES[kind]), text(subclass)), children, ended))
        self.counts[record] += 1
        return number

    def link(self, child: int, parent: int, slot: str | None = None) -> None:
        """Object to object, or object to one of the parent's properties."""
        ends = (long(child), long(parent))
        self.connections.append(leaf("C", text("OO"), *ends) if slot is None
                                else leaf("C", text("OP"), *ends, text(slot)))

    def bytes(self, take: str, fps: int, first: int, last: int, version: int) -> bytes:
        span = (ticks(first, fps), ticks(last, fps))
        return encode([*_head(version), _settings(fps, span), *_documents(take), self._definitions(),
                       Node("Objects", (), self.objects, True), Node("Connections", (), self.connections, True),
                       _takes(take, span)], version)

    def _definitions(self) -> Node:
        rows = [Node("ObjectType", (text("GlobalSettings"),), (leaf("Count", integer(1)),))]
        for kind, count in self.counts.items():
            rows.append(Node("ObjectType", (text(kind),), (leaf("Count", integer(count)),)))
        total = 1 + sum(self.counts.values())
        return Node("Definitions", (), (leaf("Version", integer(100)), leaf("Count", integer(total)), *rows))


def _head(version: int) -> list[Node]:
    stamp = dict(zip(("Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond"), (1970, 1, 1, 10, 0, 0, 0),
                     strict=True))
    extension = Node("FBXHeaderExtension", (), (
        leaf("FBXHeaderVersion", integer(1003)), leaf("FBXVersion", integer(version)),
        leaf("EncryptionType", integer(0)),
        Node("CreationTimeStamp", (), (leaf("Version", integer(1000)),
                                       *(leaf(name, integer(value)) for name, value in stamp.items()))),
        leaf("Creator", text(CREATOR)),
        Node("SceneInfo", (named("GlobalInfo", "SceneInfo"), text("UserData")), (
            leaf("Type", text("UserData")), leaf("Version", integer(100)),
            properties(prop("DocumentUrl", "KString", "Url", "", text("")),
                       prop("Original|ApplicationName", "KString", "", "", text(CREATOR)),
                       prop("LastSaved|ApplicationName", "KString", "", "", text(CREATOR)))))))
    return [extension, leaf("FileId", raw(FILE_ID)), leaf("CreationTime", text(CREATION_TIME)),
            leaf("Creator", text(CREATOR))]


def _settings(fps: int, span: tuple[int, int]) -> Node:
    mode = TIME_MODES.get(fps, CUSTOM_MODE)
    axes = (("UpAxis", 1), ("UpAxisSign", 1), ("FrontAxis", 2), ("FrontAxisSign", 1), ("CoordAxis", 0),
            ("CoordAxisSign", 1), ("OriginalUpAxis", 1), ("OriginalUpAxisSign", 1))
    return Node("GlobalSettings", (), (leaf("Version", integer(1000)), properties(
        *(prop(name, "int", "Integer", "", integer(value)) for name, value in axes),
        prop("UnitScaleFactor", "double", "Number", "", double(1)),
        prop("OriginalUnitScaleFactor", "double", "Number", "", double(1)),
        prop("TimeMode", "enum", "", "", integer(mode)),
        prop("TimeSpanStart", "KTime", "Time", "", long(span[0])),
        prop("TimeSpanStop", "KTime", "Time", "", long(span[1])),
        prop("CustomFrameRate", "double", "Number", "", double(fps if mode == CUSTOM_MODE else -1)))))


def _documents(take: str) -> list[Node]:
    document = Node("Document", (long(999_999), text(""), text("Scene")), (
        properties(prop("SourceObject", "object", "", ""),
                   prop("ActiveAnimStackName", "KString", "", "", text(take))),
        leaf("RootNode", long(0))))
    return [Node("Documents", (), (leaf("Count", integer(1)), document)), Node("References", (), (), True)]


def _takes(take: str, span: tuple[int, int]) -> Node:
    return Node("Takes", (), (leaf("Current", text(take)), Node("Take", (text(take),), (
        leaf("FileName", text("take.tak")), leaf("LocalTime", long(span[0]), long(span[1])),
        leaf("ReferenceTime", long(span[0]), long(span[1]))))))


SHADING = leaf("Shading", flag(True))
