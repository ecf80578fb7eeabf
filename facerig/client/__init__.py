"""Speak to a facerig server from Python: `for frame in stream(audio)`, `async for frame in astream(audio)`, or a
`Stream`.

    from facerig.client import stream
    for frame in stream("voice.wav", server="127.0.0.1:52100"):
        print(frame.index, frame.values)

What `stream` gives can also be asked and told things while it plays: `frames.describe()`, `frames.do(...)`.
"""

from facerig.client.events import Description, Event, Frame, Interrupted, Marker, Notice
from facerig.client.options import Target, Wish
from facerig.client.simple import Playing, astream, stream
from facerig.client.stream import Stream

__all__ = ["Description", "Event", "Frame", "Interrupted", "Marker", "Notice", "Playing", "Stream", "Target", "Wish",
           "astream", "stream"]
