"""Speak to a facerig server from Python: `for frame in stream(audio)`, `async for frame in astream(audio)`, or a
`Stream`.

    from facerig.client import stream
    for frame in stream("voice.wav", server="127.0.0.1:52100"):
        print(frame.index, frame.values)
"""

from facerig.client.options import Target, Wish
from facerig.client.simple import astream, stream
from facerig.client.stream import Event, Frame, Interrupted, Marker, Notice, Stream

__all__ = ["Event", "Frame", "Interrupted", "Marker", "Notice", "Stream", "Target", "Wish", "astream", "stream"]
