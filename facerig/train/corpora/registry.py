"""Every source, in the order of the build."""

from __future__ import annotations

from facerig.train.corpora import motion, neural, pico, prompts, quotes, speech, speechocean, synthetic
from facerig.train.corpora.base import Source


def all_sources(hours: float = 10.0, only: str = "") -> list[Source]:
    """All sources; `only` spares the listing of recordings that are not asked for: every part is made by a process."""
    real = [*speech.sources(), *motion.sources(), *speechocean.sources()]
    return [*synthetic.sources(hours), *real, *pico.sources(hours), *quotes.sources(hours), *neural.sources(hours),
            *prompts.sources(only)]
