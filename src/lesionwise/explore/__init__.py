"""Understanding a data set by looking: its table, its pixels and its masks, before anything is trained."""
