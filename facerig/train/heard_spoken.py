"""Synthetic speech for the ear: an engine's ordinary voice as neutral, and series from flat to excited.

An engine's voice is harsh, and an ear that knows people alone takes it for anger; those who animate synthetic speech
want a quiet face. The series are for judging intensity alone, with other sentences and voices than are learnt from.
"""

from __future__ import annotations

import numpy as np

from facerig.resample import Resample
from facerig.stage import RATE, Frames
from facerig.train.heard_data import PIECE, Acted
from facerig.transcript import engines

SPOKEN = {
    "en-us": ("The ships came back to the harbour a little after nine.",
              "She keeps the blue cups in the second drawer.",
              "We could take the early train and be home before the rain."),
    "de": ("Die Schiffe kamen kurz nach neun in den Hafen zurück.",
           "Sie bewahrt die blauen Tassen in der Schublade auf.",
           "Wir könnten den frühen Zug nehmen und vor dem Regen da sein."),
    "es": ("Los barcos volvieron al puerto un poco después de las nueve.",
           "Guarda las tazas azules en el segundo cajón.",
           "Podríamos tomar el primer tren y llegar antes de la lluvia."),
    "fr": ("Les bateaux sont rentrés au port un peu après neuf heures.", "Elle range les tasses bleues dans le tiroir.",
              "Nous pourrions prendre le premier train et rentrer avant la pluie."),
    "it": ("Le navi sono tornate in porto poco dopo le nove.", "Tiene le tazze azzurre nel secondo cassetto.",
           "Potremmo prendere il primo treno ed essere a casa prima della pioggia."),
}  # fmt: skip
VARIANTS = ("", "+f2", "+m3")
SERIES = {
    "en-us+m1": "I could tell him about it this evening, if he is still there with the others.",
    "en-us+f4": "The cloth is lying on the fridge, and nobody has fetched it.",
    "de+m1": "Heute Abend könnte ich es ihm sagen, wenn er noch bei den anderen ist.",
    "de+f4": "Der Lappen liegt auf dem Eisschrank, und niemand hat ihn geholt.",
    "es+m1": "Esta noche se lo podría decir, si todavía está allí con los demás.",
    "es+f4": "El paño está sobre la nevera, y nadie ha ido a buscarlo.",
}
STEPS = 5
SLOWEST, FASTEST = 130, 220  # words a minute
LOWEST, HIGHEST = 25, 75  # espeak's pitch and, below, its range, both 0 to 100
FLATTEST, WIDEST = 10, 95


def ordinary() -> list[Acted]:
    """An engine's voices as they are; an empty list where there is no engine."""
    if engines.espeak_library() is None:
        return []
    return [Acted(f"espeak-{language}{variant}-{k}", "espeak", "neutral", _said(text, language + variant), 1.0)
            for language, texts in SPOKEN.items() for variant in VARIANTS for k, text in enumerate(texts)]


def series() -> dict[str, list[Frames]]:
    """Voice -> one sentence from slow, low and flat to fast, high and wide in pitch."""
    if engines.espeak_library() is None:
        return {}
    shares = np.linspace(0, 1, STEPS)
    return {voice: [_said(text, voice, *(round(low + share * (high - low)) for low, high in
                                         ((SLOWEST, FASTEST), (LOWEST, HIGHEST), (FLATTEST, WIDEST))))
                    for share in shares] for voice, text in SERIES.items()}


def _said(text: str, voice: str, rate: int = 165, pitch: int = 50, spread: int = 50) -> Frames:
    spoken = engines.espeak().speak(text, voice, rate, pitch, spread)
    edge = Resample(spoken.rate)
    state, rows = edge.push(edge.start(), spoken.samples.astype(np.float32) / np.float32(32768))
    whole: Frames = np.concatenate([rows.reshape(-1), edge.flush(state).reshape(-1)])
    return whole[: int(PIECE * RATE)]
