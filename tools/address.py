"""The project's address, kept in one place: pyproject.toml names the repository and the pages, the package its version.

    python tools/address.py                     say whether everything that shows the address agrees with it
    python tools/address.py --set OWNER/NAME    move the project: rewrite all of it
    python tools/address.py --sync              after a new version: rewrite what shows the old tag

First cells install the tag of the version, badges and chapter links are absolute so that they work inside Colab, and
`tools/book_links.py` makes them relative again in the rendered book, which works offline.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN_IN = ("*.md", "*.ipynb", "*.toml", "*.yml", "*.cff", "*.py", ".github/**")
TAG = re.compile(r"(cs336-lib(?:\[\w+\])? @ git\+https://github\.com/)([\w.-]+/[\w.-]+?)@(v[\w.]+)")
COLAB = re.compile(r"(colab\.research\.google\.com/github/)([\w.-]+/[\w.-]+)(?=/blob/)")


@dataclass(frozen=True)
class Address:
    """Where the project is.

    Attributes:
        repository: "OWNER/NAME" on GitHub.
        pages: address of the rendered book, without a slash at its end.
        version: of the package.
    """

    repository: str
    pages: str
    version: str

    @property
    def tag(self) -> str:
        """The tag that first cells install."""
        return f"v{self.version}"

    @classmethod
    def of(cls, root: Path = ROOT) -> Address:
        """Read it."""
        urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
        found = re.search(r'__version__ = "([^"]+)"', (root / "cs336_lib/__init__.py").read_text(encoding="utf-8"))
        assert found is not None
        return cls(urls["Repository"].removeprefix("https://github.com/"), urls["Homepage"], found[1])

    def moved(self, repository: str) -> Address:
        """Return the address of another repository, with GitHub's pages.

        >>> Address("a/b", "https://a.github.io/b", "1").moved("c/d").pages
        'https://c.github.io/d'
        """
        owner, name = repository.split("/")
        pages = f"https://{owner.lower()}.github.io" + (
            "" if name.lower() == f"{owner}.github.io".lower() else f"/{name}"
        )
        return Address(repository, pages, self.version)


def rewritten(text: str, old: Address, new: Address) -> str:
    """Return a text with the new address in place of the old one, and the new tag in first cells.

    >>> a, b = Address("a/b", "https://a.github.io/b", "1.0"), Address("c/d", "https://c.github.io/d", "1.1")
    >>> rewritten("https://github.com/a/b/x https://a.github.io/b/y cs336-lib @ git+https://github.com/a/b@v1.0", a, b)
    'https://github.com/c/d/x https://c.github.io/d/y cs336-lib @ git+https://github.com/c/d@v1.1'
    """
    text = text.replace(old.pages, new.pages)
    text = re.sub(rf"(github\.com/|/github/){re.escape(old.repository)}(?![\w-])", rf"\g<1>{new.repository}", text)
    return TAG.sub(lambda found: f"{found[1]}{new.repository}@{new.tag}", text)


def disagreements(text: str, address: Address) -> list[str]:
    """Return what a text says about the project's address that is not so."""
    wrong = [f"{found[0]} (the tag is {address.tag})" for found in TAG.finditer(text) if found[3] != address.tag]
    wrong += [
        found[0] for pattern in (TAG, COLAB) for found in pattern.finditer(text) if found[2] != address.repository
    ]
    owner, name = address.repository.split("/")
    pages = re.findall(rf"https://[\w-]+\.github\.io/{re.escape(name)}(?![\w-])", text, re.IGNORECASE)
    wrong += [page for page in pages if page != address.pages]
    places = re.findall(rf"github\.com/([\w-]+/{re.escape(name)})(?![\w-])", text)
    return wrong + [place for place in places if place != f"{owner}/{name}"]


def shown_in(root: Path = ROOT) -> list[Path]:
    """Return the files that may show the address."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", *SHOWN_IN], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    own = Path(__file__).name  # its examples are no address of the project
    return [root / name for name in listed if name and (root / name).is_file() and not name.endswith(own)]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--set", dest="repository", metavar="OWNER/NAME", help="move the project there")
    parser.add_argument("--sync", action="store_true", help="write the version's tag everywhere")
    arguments = parser.parse_args()
    old = Address.of()
    if arguments.repository and not re.fullmatch(r"[\w-]+/[\w.-]+", arguments.repository):
        print(f"error: {arguments.repository!r} is no OWNER/NAME, as in {old.repository}", file=sys.stderr)
        return 2
    new = old.moved(arguments.repository) if arguments.repository else old
    wrong = 0
    for path in shown_in():
        text = path.read_text(encoding="utf-8")
        if arguments.repository or arguments.sync:
            if (changed := rewritten(text, old, new)) != text:
                path.write_text(changed, encoding="utf-8")
                print(f"rewritten: {path.relative_to(ROOT)}")
            continue
        for found in disagreements(text, old):
            print(f"{path.relative_to(ROOT)}: {found}", file=sys.stderr)
            wrong += 1
    if not (arguments.repository or arguments.sync or wrong):
        print(f"{old.repository}, {old.pages}, {old.tag}: everything agrees")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
