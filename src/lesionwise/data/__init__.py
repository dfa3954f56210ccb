"""Data in: from a folder somebody has to one checked table and one array of pixels."""
