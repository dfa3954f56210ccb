"""What happens to one batch: drawing, augmenting, mixing, predicting, comparing."""
