"""Tokenizers as files: GPT-2's pair, Hugging Face's tokenizer.json, tiktoken's ranks and our own folder."""
