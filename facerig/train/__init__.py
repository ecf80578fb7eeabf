"""Making the weights: corpora, teacher, losses, loop, metrics. Nothing that runs for a user imports this package."""
