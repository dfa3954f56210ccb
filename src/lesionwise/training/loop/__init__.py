"""What happens around the batches: Lightning's trainer, clocks, history, devices, averaging."""
