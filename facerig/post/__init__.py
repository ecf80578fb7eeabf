"""Stages after the model, one a file. They know channel names and ranges, and neither audio nor phones' spelling."""
