"""From a text to its distinct pre-tokens and how often each occurs: by threads, or by the workers of a cluster."""
