"""The bundle: a model and all that its numbers mean, in one `.onnx` file."""
