"""The model's shape as a value: sizes, layers, look-ahead, and what follows from them (states, memory). Knows no torch.

The trunk looks at every `stride`-th frame, so a network that is trained on 30 frames a second of stacked pairs runs at
60 with all distances doubled: the two phases are the same network, and training costs half. The receptive field is a
sum over the layers, computed here and tested bit for bit.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from facerig.errors import ModelError
from facerig.features import FEATURES

CONDITION = 32  # numbers a frame for emotion and style; zeros mean neutral
FELT = 36  # frames of condition and loudness that the expression head looks at, the present one among them: 0.6 s
PACES = 4  # smoothed versions that it makes of them, from quick to slow
CONTACTS = ("bilabial", "labiodental", "speech", "rounding")
EVIDENCE = (*CONTACTS, "soon")  # what the graph tells beside curves: contacts, and speech as far ahead as is heard
POOLED = 32  # band means that the decoder gets beside the encoder's output: how loud, and how the energy lies
FORMAT = 2


class Layer(NamedTuple):
    """`conv` with a dilation or `attn` with a window, both counted in steps of the part's stride."""

    kind: str
    span: int


def layers(text: str) -> tuple[Layer, ...]:
    """"c1 c2 a32" -> conv of dilation 1, conv of dilation 2, attention over 32 steps."""
    kinds = {"c": "conv", "a": "attn"}
    return tuple(Layer(kinds[word[0]], int(word[1:])) for word in text.split())


@dataclass(frozen=True)
class NetConfig:
    """What a checkpoint must know to be built again."""

    name: str = "small"
    channels: tuple[str, ...] = ()
    """Curve names in the order of the output."""
    units: tuple[str, ...] = ()
    """Names of the articulatory units in the order of the posteriors."""
    lookahead: int = 6
    """Frames of the future that an output waits for: the stage's delay."""
    taught: tuple[int, ...] = (0, 2, 4, 5, 6, 9, 15)
    """Look-aheads that have a unit head of their own; those that are not read serve the sweep and the labelling."""
    reads: tuple[tuple[int, float], ...] = ()
    """Heads whose mean is what is heard, by their look-ahead, with their weights; empty: that of `lookahead` alone. The
    trunk is as many networks as it has phases, and what one heard of a frame the others heard otherwise."""
    width: int = 256
    encoder: str = "c1 c1 c2 a32 c1 c2 c4 a32 c1 c1"
    stride: int = 2
    """Frames between two steps of the encoder."""
    kernel: int = 7
    spread: int = 2
    """Feed-forward width over `width`."""
    heads: int = 4
    decoder_width: int = 192
    decoder: str = "c1 c2 a32 c1"
    condition: int = CONDITION
    expression: int = 0
    """Features of the expression head; 0: a model that has none and speaks neutrally under any condition."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        usable = [ahead for ahead in self.taught if ahead <= self.lookahead]
        if lost := [row for row in self.reads if row[0] not in usable or not row[1] > 0]:
            raise ModelError(f"{self.name}: reads heads {lost}, accepted: of {usable} frames, with weights over 0")

    # ---- what follows -----------------------------------------------------------------------------------------

    @property
    def heard_by(self) -> tuple[tuple[int, float], ...]:
        """(look-ahead, share) of the heads whose mean is what is heard."""
        reads = self.reads or ((self.lookahead, 1.0),)
        total = sum(weight for _, weight in reads)
        return tuple((ahead, weight / total) for ahead, weight in reads)

    @property
    def reread(self) -> int:
        """Frames of the encoder's output before the present one that heads read."""
        return self.lookahead - min(ahead for ahead, _ in self.heard_by)

    @property
    def lines(self) -> int:
        """How many state arrays stand between the encoder's and the decoder's: what is delayed on the way."""
        return 2 if self.reread else 1

    @property
    def encoder_layers(self) -> tuple[Layer, ...]:
        return layers(self.encoder)

    @property
    def decoder_layers(self) -> tuple[Layer, ...]:
        return layers(self.decoder)

    def pasts(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all state arrays: the encoder's, the delay lines' (loudness, and content that is read again), the
        decoder's, and, where there is an expression head, that of condition and loudness."""
        lines = [(self.lookahead, POOLED), (self.reread, self.width)][: self.lines]
        own = [*self.encoder_pasts(self.stride), *lines, *self._pasts(self.decoder_layers)]
        own += [(FELT - 1, self.condition + 1)] if self.expression else []
        return tuple(own)

    def encoder_pasts(self, stride: int) -> tuple[tuple[int, ...], ...]:
        """Those of the encoder, at that many frames between two of its steps: the input's and its layers'."""
        return (stride - 1, FEATURES), *self._pasts(self.encoder_layers, self.width, stride)

    def _pasts(self, of: tuple[Layer, ...], width: int = 0, stride: int = 1) -> list[tuple[int, ...]]:
        """A convolution's inputs, frames first; attention's keys and values, heads first as they are multiplied."""
        out: list[tuple[int, ...]] = []
        for layer in of:
            frames, columns = self._reach(layer) * stride, width or self.decoder_width
            own = (frames, columns) if layer.kind == "conv" else (self.heads, frames, columns // self.heads)
            out += [own] if layer.kind == "conv" else [own, own]
        return out

    def _reach(self, layer: Layer) -> int:
        """Steps before the present one that a layer looks at."""
        return (self.kernel - 1) * layer.span if layer.kind == "conv" else layer.span - 1

    @property
    def split(self) -> int:
        """How many of the state arrays are the encoder's; they come first."""
        return len(self.encoder_pasts(self.stride))

    @property
    def memory(self) -> int:
        """Input frames before the present one that can still change an output."""
        layers_reach = sum(self._reach(layer) for layer in self.encoder_layers)
        encoder = self.stride - 1 + layers_reach * self.stride + self.reread
        decoder = sum(self._reach(layer) for layer in self.decoder_layers)
        return max(encoder, self.lookahead) + max(decoder, FELT - 1 if self.expression else 0)

    # ---- json ---------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_dict(cls, raw: dict[str, Any], name: str = "model") -> NetConfig:
        if raw.get("format") != FORMAT:
            raise ModelError(f"{name}: format {raw.get('format')!r}, accepted: {FORMAT}; run `facerig train` or update")
        try:
            tuples: dict[str, Any] = {key: tuple(raw[key]) for key in ("channels", "units", "taught")}
            tuples["reads"] = tuple((int(ahead), float(weight)) for ahead, weight in raw.get("reads", ()))
            return cls(**{**raw, **tuples})
        except (TypeError, ValueError, KeyError) as error:
            raise ModelError(f"{name}: its config does not fit this version ({error}); train or fetch anew") from error


# Look-aheads that have a unit head of their own, the shipped one among them: those that are read, a sweep, and one far
# ahead that labels.
_TAUGHT = (0, 2, 4, 5, 6, 9, 15)
_READS = ((6, 3.0), (5, 2.0), (4, 1.0))  # chosen by the sets that choose: docs/log/model.md
# `instant` hears the frame that it shows and one more: 16.7 ms. What 33 ms would have given is taught beside it.
_TAUGHT_NEAR = (0, 1, 2, 4, 6, 15)
_READS_NEAR = ((1, 3.0), (0, 1.0))
# name, look-ahead, taught look-aheads, those that are read, width, encoder, feed-forward, decoder width, decoder
_PRESETS: tuple[tuple[str, int, tuple[int, ...], tuple[tuple[int, float], ...], int, str, int, int, str], ...] = (
    ("tiny", 6, _TAUGHT, _READS, 128, "c1 c1 a32 c2 c2 a32 c4 c1", 2, 96, "c1 a32 c1"),
    ("instant", 1, _TAUGHT_NEAR, _READS_NEAR, 256, "c1 c1 c2 a32 c1 c2 c4 a32 c1 c1", 2, 192, "c1 c2 a32 c1"),
    ("small", 6, _TAUGHT, _READS, 256, "c1 c1 c2 a32 c1 c2 c4 a32 c1 c1", 2, 192, "c1 c2 a32 c1"),
    ("base", 6, _TAUGHT, _READS, 512, "c1 c1 c2 a32 c1 c2 c4 a32 c1 c1 a32 c1 c1", 4, 384, "c1 c2 a32 c1 a32"),
)
_FIELDS = ("name", "lookahead", "taught", "reads", "width", "encoder", "spread", "decoder_width", "decoder")
PRESETS = tuple(row[0] for row in _PRESETS)


def preset(name: str, channels: tuple[str, ...], units: tuple[str, ...], **changes: Any) -> NetConfig:
    """`tiny` (<= 1 M parameters), `small` and, with hardly a look-ahead, `instant` (<= 5 M), `base` (<= 30 M)."""
    for row in _PRESETS:
        if row[0] == name:
            sizes = dict(zip(_FIELDS, row, strict=True))
            return replace(NetConfig(channels=channels, units=units), **{**sizes, **changes})
    raise ModelError(f"model preset: got {name!r}, accepted: {', '.join(PRESETS)}")
