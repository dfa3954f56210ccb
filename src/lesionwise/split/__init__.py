"""Parts and folds in which no lesion stands twice."""
