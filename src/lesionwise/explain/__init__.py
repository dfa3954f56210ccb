"""What a model looked at, and whether the answer to that can be believed."""
