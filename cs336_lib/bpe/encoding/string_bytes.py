"""The UTF-8 bytes of a Python string, copied only where that can't be helped.

CPython keeps an ASCII string as the bytes that it is, and those are read where they lie. Another one is read as the
characters that it is made of (see `wide_text`), unless it has its UTF-8 form already, because somebody asked for it.
Where the bytes of one are wanted as a whole they are a copy, so that nothing is left with the string.
"""

import ctypes
from collections.abc import Iterable, Sequence

import numpy as np

from cs336_lib.bpe.encoding.wide_text import WideText
from cs336_lib.bpe.plain.encoder import escaped_text

_COPIED = 1 << 14  # characters; copying a short string takes less than asking for its address

_utf8_address = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
_utf8_address.restype = ctypes.c_void_p
_utf8_address.argtypes = (ctypes.py_object, ctypes.POINTER(ctypes.c_ssize_t))
_read_only_view = ctypes.pythonapi.PyMemoryView_FromMemory
_read_only_view.restype = ctypes.py_object
_read_only_view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_FOR_READING = 0x100  # PyBUF_READ


def text_bytes(text: str) -> "bytes | memoryview":
    r"""The UTF-8 bytes of a string; surrogates that stand for bytes become those bytes.

    Args:
        text: must outlive the result, which may be a view of its memory.

    Raises:
        ValueError: it holds a lone surrogate that stands for no byte.

    >>> text_bytes("caf\u00e9"), text_bytes("caf\udcff")
    (b'caf\xc3\xa9', b'caf\xff')
    """
    try:
        if len(text) <= _COPIED or WideText.of(text) is not None or type(text) is not str:
            return text.encode()
        size = ctypes.c_ssize_t()
        address = _utf8_address(text, ctypes.byref(size))
        return _read_only_view(address, size.value, _FOR_READING)
    except UnicodeEncodeError:
        return escaped_text(text).encode("utf-8", "surrogateescape")


def joined_bytes(texts: Sequence[str], padding: int = 0) -> tuple[bytes, np.ndarray]:
    r"""The UTF-8 bytes of several strings one behind the other, and where each of them ends, int64.

    Args:
        texts: the strings.
        padding: zero bytes behind the last.

    Raises:
        ValueError: as `text_bytes`.

    >>> joined_bytes(["caf\u00e9", "", "a"])
    (b'caf\xc3\xa9a', array([5, 5, 6]))
    """
    joined = "".join(texts)
    lengths: Iterable[int] = map(len, texts)
    try:
        whole = joined.encode()
        if len(whole) > len(joined):
            lengths = (len(text if text.isascii() else text.encode()) for text in texts)
    except UnicodeEncodeError:
        each = [text_bytes(text) for text in texts]
        whole, lengths = b"".join(each), map(len, each)
    return whole + bytes(padding), np.cumsum(np.fromiter(lengths, np.int64, len(texts)))


def readable(text: str) -> "bytes | memoryview | WideText":
    """What the compiled encoder reads of a string: its bytes, or its characters where those would have to be made.

    Args:
        text: must outlive the result, which may be a view of its memory.

    Raises:
        ValueError: as `text_bytes`; of characters, the encoder finds it, and asks for `text_bytes` then.

    >>> readable("cafe")
    b'cafe'
    """
    return (WideText.of(text) if len(text) > _COPIED else None) or text_bytes(text)
