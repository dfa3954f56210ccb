"""Scores with their intervals: arrays and tables alone."""
