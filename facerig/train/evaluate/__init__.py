"""The honest scoreboard: systems and baselines on the same clips in the same run. `scoreboard.evaluate` does it all."""
