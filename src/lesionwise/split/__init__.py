"""Parts and folds that never share a lesion."""
