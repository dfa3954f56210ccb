"""From predictions to scores with doubt attached: arrays and tables only, no torch, no images."""
