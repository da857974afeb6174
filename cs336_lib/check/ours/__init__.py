"""This library behind the assignment's adapters: what a reader's code is timed and trained beside."""
