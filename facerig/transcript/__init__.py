"""What is known of the words: timed phones as evidence beside the audio, and as a whole face without it."""
