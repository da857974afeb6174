"""A reader's own code, held against the definitions: `cs336 check FOLDER`, and `check` in the notebooks.

It explains faults and points to the section of the book about them; it never shows a corrected implementation.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cs336_lib.check.door import check
    from cs336_lib.check.folder import check_folder

__all__ = ["check", "check_folder"]


def __getattr__(name: str) -> Any:
    """Import a door when it is opened: looking for a folder costs no torch."""
    if name == "check":
        from cs336_lib.check.door import check

        return check
    if name == "check_folder":
        from cs336_lib.check.folder import check_folder

        return check_folder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
