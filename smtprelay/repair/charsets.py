"""Which charset raw 8-bit text is in: the first that can read it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from encodings.aliases import aliases

from smtprelay.repair.lines import slices

# A charset's name comes from a stranger. Only codecs for text that contains ASCII as it is: no zlib, no punycode
# (quadratic), no UTF-7 and no EBCDIC, in which a percent sign is a line feed.
_CODECS = re.compile(
    r"ascii|utf_8|latin_1|iso8859_\d+|koi8_\w+|cp125\d|cp(?:437|737|775|85[0-8]|86[0-35-9]|874|932|949|950)"
    r"|gbk|gb2312|gb18030|big5|big5hkscs|euc_\w+|shift_jis\w*|johab|tis_620|iso2022_\w+|hz"
)
_ALIASES = aliases | {"koi8_u": "koi8_u", "windows_874": "cp874"}
_BY_LABEL = {label: codec for alias, codec in _ALIASES.items() if _CODECS.fullmatch(codec) for label in (alias, codec)}
# What says GB2312 or GBK is often the larger set, which holds both.
_BY_LABEL |= {label: "gb18030" for label, codec in _BY_LABEL.items() if codec in ("gbk", "gb2312")}

UNKNOWN = "unknown-8bit"  # RFC 1428 §3


def codec_of(label: str) -> str:
    """The codec that reads a charset; ``""`` where it is not known."""
    return _BY_LABEL.get(re.sub(r"[-. :]", "_", label.strip().lower()), "")


def decode(raw: bytes, charsets: Sequence[str]) -> tuple[str, str]:
    """The text, and the name of the first charset that could read it."""
    if raw.isascii():
        return raw.decode("ascii"), "us-ascii"
    for codec in filter(None, map(codec_of, charsets)):
        try:
            return raw.decode(codec), _mime_name(codec)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace"), UNKNOWN


def detect(content: bytes, start: int, end: int, charsets: Sequence[str]) -> str:
    """The name of the first charset that can read a span."""
    for codec in filter(None, map(codec_of, charsets)):
        if _reads(codec, content, start, end):
            return _mime_name(codec)
    return UNKNOWN


def _reads(codec: str, content: bytes, start: int, end: int) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for begin, stop in slices(content, start, end):
            decoder.decode(content[begin:stop], final=stop == end)
    except UnicodeDecodeError:
        return False
    return True


def _mime_name(codec: str) -> str:
    """The preferred MIME name (IANA's registry of character sets) of a Python codec."""
    name = codec.replace("latin_1", "iso8859_1").replace("cp125", "windows-125").replace("iso8859", "iso-8859")
    return name if name.startswith("shift_jis") else name.replace("_", "-")
