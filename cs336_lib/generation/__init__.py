"""Decoding with a key-value cache, and samplers (chapter 7)."""
