"""Bytes and seconds as a line of text tells them: never as nothing where there is something, however little."""

from __future__ import annotations


def size(count: float) -> str:
    """Write a number of bytes in the largest unit of which there is at least one, as it would be written.

    >>> size(3), size(951), size(21_600), size(951_000), size(999_999), size(2_227_753_162)
    ('3 bytes', '951 bytes', '21.6 kB', '951.0 kB', '1.0 MB', '2.2 GB')
    >>> size(0), size(0.4), size(1e-6)              # a mean, or a rate
    ('0 bytes', '0.4 bytes', 'less than 0.1 bytes')
    """
    if 0 < count < 0.95:
        return f"{count:.1f} bytes" if count >= 0.05 else "less than 0.1 bytes"
    for unit, name, smaller, digits in ((1e9, "GB", 1e6, 1), (1e6, "MB", 1e3, 1), (1e3, "kB", 1.0, 0)):
        if round(count / smaller, digits) >= 1000:
            return f"{count / unit:,.1f} {name}"
    return f"{count:.0f} byte{'s' * (round(count) != 1)}"


def elapsed(seconds: float) -> str:
    """Write a time that something took: in milliseconds below a tenth of a second, in microseconds below one of these.

    >>> elapsed(12.34), elapsed(0.1), elapsed(0.0412), elapsed(0.0004), elapsed(1e-5), elapsed(2e-7)
    ('12.3 s', '0.1 s', '41 ms', '0.4 ms', '10 us', '0.2 us')
    >>> elapsed(0), elapsed(1e-12)
    ('0 us', 'less than 0.001 us')
    """
    if 0 < seconds < 1e-9:
        return "less than 0.001 us"
    if seconds >= 0.095:
        return f"{seconds:,.1f} s"
    if seconds >= 0.000095:
        return f"{1e3 * seconds:.{0 if seconds >= 0.00095 else 1}f} ms"
    return f"{1e6 * seconds:.0f} us" if seconds >= 9.5e-7 else f"{1e6 * seconds:.1g} us"
