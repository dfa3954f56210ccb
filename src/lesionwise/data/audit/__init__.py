"""What is wrong, odd or tempting in a data folder, before anything is trained on it."""
