"""Runs of runs: folds, seeds, leakage, robustness, and trained weights evaluated again."""
