"""Several characters in one scene: a script (or a stream) in, a curve track for each out, on one clock.

`perform` plays a script file; `Dialogue` is the same as a stream, for servers; `preset` gives ways of being.
docs/DIALOGUE.md has the script's format and the tables.
"""

from facerig.dialogue.online import Dialogue
from facerig.dialogue.play import perform, play
from facerig.dialogue.presets import PRESETS, preset
from facerig.dialogue.reader import read_script, script
from facerig.dialogue.script import Character, Line, Script

__all__ = ["PRESETS", "Character", "Dialogue", "Line", "Script", "perform", "play", "preset", "read_script", "script"]
