"""Predicting many files with a bundle: finding them, answering in a pipeline, writing tables."""
