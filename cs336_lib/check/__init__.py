"""A reader's own code, held against the definitions: `cs336 check`, and `check` in the notebooks."""
