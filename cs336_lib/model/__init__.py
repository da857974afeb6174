"""The Transformer, from scratch (chapter 4)."""
