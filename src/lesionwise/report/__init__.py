"""What one would send to a colleague: the run as one page, with its figures."""
