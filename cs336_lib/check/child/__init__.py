"""What runs in the reader's own Python: the questions, their right values, and what isolates them.

Nothing in this folder imports the rest of the library, and all imports inside it are relative: the command runs
`start.py` by its path, in an environment that may hold nothing but torch, numpy and regex. The parent process and the
notebooks import the same files as `cs336_lib.check.child`.
"""
