"""What a run ran on: versions, device, scale. The first cell of every notebook prints it; run records store it."""

import os
import platform
import subprocess
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cs336_lib
from cs336_lib.scale import scale


def device_name() -> str:
    """Return the device that torch would use, by the name its maker gave it ("CPU" without an accelerator)."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "Apple MPS" if torch.backends.mps.is_available() else "CPU"


def commit() -> str | None:
    """Return the commit of the library if it runs from a checkout, with "+changes" if files were edited.

    The variable CS336_COMMIT goes before: a copy of a checkout may have no history, or that of something else.
    """
    if named := os.environ.get("CS336_COMMIT"):
        return named
    root = Path(cs336_lib.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        ask = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def environment(*packages: str) -> dict[str, str]:
    """Describe the running environment without naming the machine or any path of it.

    Args:
        packages: names of installed distributions whose versions matter here. The device is named when "torch" is one
            of them, because asking for it imports torch.

    Returns:
        An ordered mapping from what to its value, all strings.

    >>> environment("numpy")["scale"]
    'quick'
    >>> list(environment("no-such-package"))
    ['cs336_lib', 'python', 'system', 'cores', 'no-such-package', 'scale']
    """
    facts = {
        "cs336_lib": cs336_lib.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
    }
    for package in packages:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    if "torch" in packages:
        facts["device"] = device_name()
    facts["scale"] = scale()
    return facts


def about(*packages: str) -> None:
    """Print `environment(*packages)` in lines that fit a page, for the first cell of a notebook."""
    facts = " | ".join(
        f"{name} {value}".replace(" ", "\N{NO-BREAK SPACE}") for name, value in environment(*packages).items()
    )
    print(textwrap.fill(facts, width=88, break_on_hyphens=False).replace("\N{NO-BREAK SPACE}", " "))
