"""Corpora, token files and batches (chapter 3)."""
