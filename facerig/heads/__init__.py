"""Where a Head comes from: the built-in one, open heads, FLAME, any file with morph targets, the user's store."""
