"""The options by which every command asks for emotion, style, state and controls. `facerig.asking` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

FACE = "The face"
EMOTION = Annotated[str, typer.Option(help="off, auto (heard in the voice), a mixture such as happy:0.7,surprise:0.2, "
                                      "or a file of keyframes (.json, .csv).", rich_help_panel=FACE)]  # fmt: skip
STYLE = Annotated[str, typer.Option(help="Style of speaking: whispered, exaggerated:0.5, tense:0.4,tired:0.3, ...",
                                    show_default=False, rich_help_panel=FACE)]  # fmt: skip
PRESET = Annotated[str, typer.Option(help="A way of being, on top of the rest: hesitant, confident, nervous, warm, "
                                     "tired, ... (docs/DIALOGUE.md has them all).", show_default=False,
                                     rich_help_panel=FACE)]  # fmt: skip
STATE = Annotated[str, typer.Option(help="speaking, listening, thinking, idle or off; default: told by the voice.",
                                    show_default=False, rich_help_panel=FACE)]  # fmt: skip
SET = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any control, repeatable; `facerig "
                                               "info --controls` lists them.", show_default=False,
                                               rich_help_panel=FACE)]  # fmt: skip
STILL = Annotated[bool, typer.Option("--still", help="Speech alone: no blinks, no gaze, no head.",
                                     rich_help_panel=FACE)]  # fmt: skip
SHOWN_HEAD = Annotated[str | None, typer.Option(help="Head of FBX, glTF and USD: name or file; none: curves alone.",
                                          show_default="builtin")]  # fmt: skip
SEED = Annotated[int, typer.Option(help="Seed of everything random; the same seed gives the same face, and no seed "
                                   "moves the lips.", rich_help_panel=FACE)]  # fmt: skip
PARTNER = Annotated[Path | None, typer.Option(help="What the other one in the talk says, from the beginning on: heard, "
                                              "not spoken. Of two channels the face hears where.", show_default=False,
                                              rich_help_panel=FACE)]  # fmt: skip

# Groups of controls that behaviour alone heeds.
BEHAVIOUR = ("life", "blink_rate", "pose", "sound", "partner", "attitude")


def tell_stilled(still: bool, sets: Sequence[str], partner: Path | None = None) -> None:
    """A note of what --still leaves without effect."""
    from facerig.asking import assignments
    from facerig.console import say

    dropped = [f"--set {name}" for name in assignments(sets) if name.partition(":")[0] in BEHAVIOUR]
    dropped += ["--partner"] if partner is not None else []
    if still and dropped:
        say(f"--still drops {', '.join(dropped)}: no behaviour runs that would heed it; leave out one or the other")
