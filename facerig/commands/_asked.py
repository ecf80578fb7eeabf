"""The options by which every command asks for emotion, style, state and controls. `facerig.asking` reads them."""

from __future__ import annotations

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
SEED = Annotated[int, typer.Option(help="Seed of everything random; the same seed gives the same face, and no seed "
                                   "moves the lips.", rich_help_panel=FACE)]  # fmt: skip
PARTNER = Annotated[Path | None, typer.Option(help="What the other one in the talk says, from the beginning on: heard, "
                                              "not spoken. Of two channels the face hears where.", show_default=False,
                                              rich_help_panel=FACE)]  # fmt: skip
