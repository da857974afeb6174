"""Where a text may be cut: into pre-tokens (pattern, scanner), at special tokens, and into parts that threads share."""
