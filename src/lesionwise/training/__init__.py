"""Training: from cached pixels and a split to weights and predictions."""
