"""Making bundles from a run or a foreign model, checked before they are written. Needs torch or onnx."""
