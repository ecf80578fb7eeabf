"""The shipped model as a Stage, through onnxruntime: what the light install runs. Knows no torch and no training.

A stream's state is the network's pasts, one array a layer; `push` takes one stream, `push_batch` many that are stacked.
Output columns are the curves, then the contact probabilities (`columns` names them); `posteriors` gives the units too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facerig.errors import MissingExtra, ModelError
from facerig.features import FEATURES
from facerig.files import assets_folder
from facerig.model.config import EVIDENCE, NetConfig
from facerig.model.tensors import Arrays, unpacked
from facerig.stage import Frames, State

DEFAULT = "small"
FILES = (".onnx", ".safetensors", ".json")
BLOCK = 60  # frames at a time where a whole clip is read
HINT = "run `facerig train` or reinstall facerig"


@dataclass(frozen=True)
class ModelStage:
    """What both runtimes share: shapes, delay, memory, and how one stream and many become a batch."""

    config: NetConfig

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def delay(self) -> int:
        return self.config.lookahead

    @property
    def memory(self) -> int:
        return self.config.memory

    @property
    def channels(self) -> tuple[str, ...]:
        """The curves among the output's columns; they come first."""
        return self.config.channels

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of `push`: curves, then what is evident of contacts (`contact:bilabial`, ...)."""
        return self.config.channels + tuple(f"contact:{name}" for name in EVIDENCE)

    def start(self) -> State:
        return tuple(np.zeros(shape, np.float32) for shape in self.config.pasts())

    def push(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """[n, 128] or, with a condition beside it, [n, 128 + 32] -> [n, columns]."""
        state, out = self.push_batch(tuple(array[None] for array in state), frames[None])
        return tuple(array[0] for array in state), out[0]

    def push_batch(self, state: State, frames: Frames) -> tuple[State, Frames]:
        """Streams stacked: states [B, ...], frames [B, n, ...] -> [B, n, columns]."""
        curves, contacts, _, *kept = self.run(frames, state)
        return tuple(kept), np.concatenate([curves, contacts], axis=-1)

    def run(self, frames: Frames, state: State) -> list[Frames]:
        """[curves, contacts, unit log-probabilities, *states] of a batch."""
        raise NotImplementedError

    def posteriors(self, feats: Frames, block: int = BLOCK) -> tuple[Frames, Frames, Frames]:
        """(curves, contacts, unit probabilities) [T, ...] of a whole clip, aligned with its frames."""
        tail = self.delay + -(len(feats) + self.delay) % block
        padded = np.concatenate([feats, np.full((tail, feats.shape[1]), feats.min(initial=0.0), np.float32)])
        state, rows = tuple(array[None] for array in self.start()), []
        for at in range(0, len(padded), block):
            curves, contacts, units, *kept = self.run(padded[None, at : at + block], state)
            state = tuple(kept)
            rows.append((curves[0], contacts[0], np.exp(units[0])))
        joined = [np.concatenate(part)[self.delay : self.delay + len(feats)] for part in zip(*rows, strict=True)]
        return joined[0], joined[1], joined[2]

    def split(self, frames: Frames) -> tuple[Frames, Frames]:
        """Features and condition; the condition is zeros where the frames bring none."""
        feats, condition = frames[..., :FEATURES], frames[..., FEATURES:]
        if not condition.shape[-1]:
            condition = np.zeros((*frames.shape[:-1], self.config.condition), np.float32)
        return np.ascontiguousarray(feats, np.float32), np.ascontiguousarray(condition, np.float32)


@dataclass(frozen=True)
class OnnxModel(ModelStage):
    """The exported graph in onnxruntime, one thread: many streams share a machine better than one.

    The graph holds names in place of weights; those are the tensors of the .safetensors file beside it.
    """

    graph: bytes = field(repr=False, default=b"")
    weights: bytes = field(repr=False, default=b"")
    _session: Any = field(repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        tensors = unpacked(self.weights, f"{self.name}.safetensors", HINT)
        object.__setattr__(self, "_session", session(self.graph, tensors, self.name))

    def run(self, frames: Frames, state: State) -> list[Frames]:
        feats, condition = self.split(frames)
        return list(self._session.run(self._outputs, dict(zip(self._inputs, (feats, condition, *state), strict=True))))

    @cached_property
    def _inputs(self) -> list[str]:
        return [entry.name for entry in self._session.get_inputs()]

    @cached_property
    def _outputs(self) -> list[str]:
        return [entry.name for entry in self._session.get_outputs()]


def session(graph: bytes, tensors: Arrays, name: str) -> Any:
    """onnxruntime on one thread: a graph whose weights are in it, or beside it as `tensors`."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("running a trained model", "", str(error)) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # What the graph names, as protobuf writes a text; heads that only teach are not in it.
    used = {key: onnxruntime.OrtValue.ortvalue_from_numpy(array) for key, array in tensors.items()
            if bytes((len(key), *key.encode())) in graph}
    options.add_external_initializers(list(used), list(used.values()))
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own exception classes, one for each way a graph can be bad
        raise ModelError(f"model {name!r}: the graph cannot be used ({str(error).splitlines()[0]}); {HINT}") from error


# ---- finding weights ------------------------------------------------------------------------------------------------


def installed() -> tuple[str, ...]:
    """Names that `load` takes."""
    return tuple(sorted(path.stem for path in (assets_folder() / "models").glob("*.onnx")))


def load(name: str | None = None) -> OnnxModel:
    """The model of that name (None: the default) or of one of its files; they lie beside each other."""
    path = graph_of(name)
    card = read_card(path)
    graph, weights = (checked(one, card) for one in (path, path.with_suffix(".safetensors")))
    return OnnxModel(NetConfig.from_dict(card["config"], path.name), graph, weights)


def graph_of(name: str | None) -> Path:
    """The .onnx file of a model by its name (None: the default) or by any of its three files."""
    wanted = name or DEFAULT
    given = Path(wanted).suffix in FILES
    return Path(wanted).with_suffix(".onnx") if given else assets_folder() / "models" / f"{wanted}.onnx"


def checked(path: Path, card: dict[str, Any]) -> bytes:
    """A model's file, which must be the one that the card beside it means."""
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != card.get("sha256", {}).get(path.name):
        raise ModelError(f"{path.name}: damaged, its SHA-256 is not the one in {path.stem}.json; {HINT}")
    return data


def read_card(path: Path) -> dict[str, Any]:
    """The json beside the weights: config, checksums, figures."""
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(_read(card_path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{card_path.name}: not json ({error}); {HINT}") from error
    if not isinstance(card, dict) or not isinstance(card.get("config"), dict):
        raise ModelError(f"{card_path.name}: holds no model config; {HINT}")
    return card


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        names = ", ".join(installed()) or "none"
        raise ModelError(f"model {path.stem!r}: {path.name} is missing (installed: {names}); {HINT}") from error
