"""Compile all kernels before a clock starts; nobody needs to, since whatever needs them soon prepares them itself."""


def compile_kernels() -> None:
    """Have the kernels of training and encoding ready, so that what is timed next is the work alone.

    A machine that has none in its cache folder compiles the three libraries side by side in processes of their own,
    which takes some seconds, once for a version; after that, this takes some milliseconds.

    >>> compile_kernels()
    """
    from cs336_lib.bpe.counting.word_table import COUNTING
    from cs336_lib.bpe.encoding.workspace import KERNELS
    from cs336_lib.bpe.merging.merger import MERGING

    libraries = COUNTING, MERGING, KERNELS
    for library in libraries:
        library.prepare()
    for library in libraries:
        library.load()
