r"""The GPT-2 pre-token pattern: how a text is cut into words before any byte pair is counted.

Read left to right, the first alternative that matches wins and the longest run is taken:

    '(?:[sdmt]|ll|ve|re)     a contraction                    'll
     ?\p{L}+                 letters, with one space before   " cat"
     ?\p{N}+                 numbers, with one space before   " 42"
     ?[^\s\p{L}\p{N}]+       anything else, likewise          " ?!"
    \s+(?!\S)                white space, all but the last symbol before a word
    \s+                      white space

Every symbol of a text falls into exactly one pre-token. Source: GPT-2's encoder.py (Radford et al. 2019), as quoted in
section 2.4 of the CS336 assignment 1 handout; the chapter is notebooks/02_bpe_training.

Why GPT-2's alone. The block scanner (`scanner.py`) works because a boundary depends only on the classes of two or three
neighboring symbols. The patterns of cl100k and o200k break that twice: numbers are cut after every third digit
(`\p{N}{1,3}`), so that a boundary depends on a count from the start of the run, and white space that holds a newline
is cut after its last newline (`\s*[\r\n]+`), which may lie any number of blocks ahead. o200k also splits letters by
case and by combining marks, with backtracking. They would be a second scanner and a second proof of exact chunk cuts,
not a second table, so they are left out.
"""

PAT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

# PAT with its classes written out for ASCII, on which both find the same pre-tokens. `re`'s own \s won't do: it takes
# 0x1c-0x1f for whitespace, `regex` does not.
ASCII_PAT = r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]++| ?[0-9]++| ?[^\t-\r A-Za-z0-9]++|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]++"
