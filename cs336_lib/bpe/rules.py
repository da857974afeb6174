"""What tokenizers of others do besides pattern, merges and special tokens: chosen by their files, off by default."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class TextRules:
    """Rules of a tokenizer that was made elsewhere; `Tokenizer.from_hf_json` finds them in the file.

    Attributes:
        prefix_space: a space is put before each stretch between special tokens that does not begin with one; decoding
            gives it back, too.
        nfc: such stretches are brought into Unicode's normal form C first, by the tables of this Python.
        whole_words: a pre-token that is itself a token is that token, whatever the merges say (`ignore_merges`).
        gaps: ids may be missing, and so may single bytes; a text that needs a missing byte can't be encoded.

    >>> TextRules(nfc=True).changes_text, TextRules(gaps=True).changes_text
    (True, False)
    """

    prefix_space: bool = False
    nfc: bool = False
    whole_words: bool = False
    gaps: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(getattr(self, field.name), bool):
                raise TypeError(f"{field.name} must be True or False, got {getattr(self, field.name)!r}")

    @property
    def changes_text(self) -> bool:
        """Whether a text is changed before it is encoded, so that decoding gives the changed one back."""
        return self.prefix_space or self.nfc

    def to_dict(self) -> dict[str, bool]:
        """Those that are on, for JSON."""
        return {name: True for name, on in asdict(self).items() if on}

    @classmethod
    def from_dict(cls, values: Any) -> "TextRules":
        """What `to_dict` returned.

        Raises:
            ValueError: it is something else.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not values.keys() <= known or not all(on is True for on in values.values()):
            raise ValueError(f"rules must name some of {', '.join(sorted(known))} as true, got {values!r}")
        return cls(**values)
