"""What a run saves, so that it can go on to the bit (chapter 6); many ranks at once in chapter 11.

snapshot       the state after a step, and the error of a damaged one
files, shards  how one process writes it, and how many do
reading        reads either
run, sharded   the checkpoints of a run: names, how many stay, the best one
one_file       the assignment's save and load
state_dicts    names of weights, compiled or not
"""
