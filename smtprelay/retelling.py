"""What is kept, sent and logged in English, told in another language: findings of the domain rules, names of repairs.

Such a text is recognised by its sentence. What stands in a placeholder may be one again: ``{problem}, and receivers
give up there``. What stands in ``{clause}`` has to be one, so that ``{name}: {clause}`` is not found in everything.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping

MAX_DEPTH = 6  # of texts within texts


class Retelling:
    """Tells a text anew; one that is not recognised stays as it is.

    :param sentences: by the English ones, each with the same ``{placeholders}``.
    """

    def __init__(self, sentences: Mapping[str, str]) -> None:
        # Of two that fit, the one that says more is meant.
        patterns = sorted(map(_Pattern, sentences), key=lambda pattern: -pattern.length)
        self._patterns = [(pattern, sentences[pattern.sentence]) for pattern in patterns]

    def __call__(self, text: str) -> str:
        return self._told(text, MAX_DEPTH) or text

    def _told(self, text: str, depth: int) -> str:
        """``""`` where it is not recognised."""
        for pattern, sentence in self._patterns if depth else ():
            if (values := pattern.read(text)) is None:
                continue
            told = {name: self._told(value, depth - 1) for name, value in values.items()}
            if told.get("clause") != "":
                return sentence.format(**{name: told[name] or value for name, value in values.items()})
        return ""


class _Pattern:
    """A sentence, to be recognised by what stands between its placeholders.

    :ivar length: of that, in characters.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self._pieces = list(_pieces(sentence))
        self.length = sum(len(piece) for piece, _ in self._pieces)

    def read(self, text: str) -> dict[str, str] | None:
        """What stands in the placeholders; None where the text is another sentence. Each ends where what follows is
        found first: nothing is tried twice, however long the text is."""
        (begin, name), *others = self._pieces
        if not text.startswith(begin):
            return None
        values: dict[str, str] = {}
        at = len(begin)
        for piece, following in others:
            end = text.find(piece, at) if following else len(text) - len(piece)
            if end < at or not text.startswith(piece, end):
                return None
            values[name] = text[at:end]
            at, name = end + len(piece), following
        return values if at == len(text) else None


def _pieces(sentence: str) -> Iterator[tuple[str, str]]:
    """Each text with the placeholder behind it; the last one has none: ``""``."""
    name: str | None = ""
    for piece, name, _, _ in string.Formatter().parse(sentence):
        yield piece, name or ""
    if name:
        yield "", ""
