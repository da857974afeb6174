"""From a text to ids: which encoder answers, the compiled one and its kernels, streams and strings."""
