"""The live loop: sound or curves in, frames sent on time to any number of targets, the voice played along."""
