"""facerig: speech in, a living face out."""
