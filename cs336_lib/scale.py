"""The one place that reads the scale of the runs: quick (seconds), cpu (minutes on two cores) or full (a GPU)."""

import os

SCALES = ("quick", "cpu", "full")


def scale() -> str:
    """Return the scale that the environment variable CS336_SCALE names; "quick" when it is not set.

    Returns:
        "quick", "cpu" or "full".

    Raises:
        ValueError: if the variable holds anything else.

    >>> import os
    >>> os.environ["CS336_SCALE"] = "full"
    >>> scale()
    'full'
    >>> del os.environ["CS336_SCALE"]
    >>> scale()
    'quick'
    """
    value = os.environ.get("CS336_SCALE", SCALES[0])
    if value not in SCALES:
        raise ValueError(f"CS336_SCALE is {value!r}; set it to one of {', '.join(SCALES)}, or unset it")
    return value
