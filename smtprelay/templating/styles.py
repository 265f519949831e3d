"""CSS goes into the elements that it is about: many readers of mail heed nothing else."""

from __future__ import annotations

import re

import css_inline

from smtprelay.templating.engine import OutputError
from smtprelay.templating.text import VOID

MAX_DEPTH = 2000  # elements within each other; css-inline's stack ends at about 12,000, and the process with it

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# These hold nothing, or the parser ends them where the next one begins.
_NOT_NESTED = VOID | {"p", "li", "dd", "dt", "td", "th", "tr", "option"}

# It reads no other file and asks no host; rules that depend on the screen stay where they are.
_INLINER = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False, base_url=None)


def inline(html: str) -> str:
    """A whole HTML document, with the styles of its ``<style>`` in ``style=""``.

    :raises OutputError: where it is nested too deeply.
    """
    if html.count("<") > MAX_DEPTH and _depth(html) > MAX_DEPTH:
        raise OutputError(f"its HTML has more than {MAX_DEPTH} elements within each other: close them")
    return _INLINER.inline(html)


def _depth(html: str) -> int:
    """How deep the elements are nested, at most."""
    depth = deepest = 0
    for slash, name in _TAG.findall(html):
        if name.lower() not in _NOT_NESTED:
            depth = max(depth - 1, 0) if slash else depth + 1
            deepest = max(deepest, depth)
    return deepest
