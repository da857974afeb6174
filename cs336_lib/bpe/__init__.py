"""Byte-pair encoding: bytes to tokens and back (chapters 2 and 3). Never imports torch."""
