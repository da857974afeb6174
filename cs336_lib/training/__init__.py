"""The loss, precision, checkpoints, run records and the training loop (chapter 6)."""
