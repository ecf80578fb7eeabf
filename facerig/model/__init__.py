"""The speech model: a Stage from log-mel to curves, loaded by name. Importing it loads no torch and no onnxruntime."""

from facerig.model.config import CONDITION, CONTACTS, EVIDENCE, NetConfig, preset
from facerig.model.runtime import DEFAULT, OnnxModel, installed, load

__all__ = ["CONDITION", "CONTACTS", "DEFAULT", "EVIDENCE", "NetConfig", "OnnxModel", "installed", "load", "preset"]
