"""What every page of lesionwise shares: shell, palette, figure theme."""
