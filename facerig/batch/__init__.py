"""Many clips at once: a table of lines, resumable by content, spread over processes or a Ray cluster, with a
report.
"""
