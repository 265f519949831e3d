"""How the platform misbehaves, as was seen in the field."""

from __future__ import annotations

from enum import Enum, auto


class Quirk(Enum):
    """What is wrong with an answer; several may be at once.

    To those up to `EMPTY` the call has been made; `ERROR_PAGE` and what follows come in its place.
    """

    LONE = auto()  # one element comes without the list around it
    CDATA = auto()  # all text is in CDATA sections
    AMPERSAND = auto()  # & and < are not escaped
    GBK = auto()  # in octets of GBK, though the declaration says UTF-8
    NEW_NAMES = auto()  # error_type and error_type_dec where the document has type
    QUERY_ONLY = auto()  # chapter 7 reads the query alone, as the document has it: a body with the password is not seen
    SLOW = auto()  # it comes after `Platform.slowness` seconds
    CUT = auto()  # the connection breaks in the middle of it
    EMPTY = auto()  # 200, and not one octet
    ERROR_PAGE = auto()  # 200, and an HTML page
    BAD_GATEWAY = auto()  # 502, and an HTML page
    PLAIN_ERROR = auto()  # 200, and a sentence
    BOMB = auto()  # entities that grow to gigabytes


BUSY = "系统繁忙，请稍后再试"
ERROR_PAGE = f"<html><head><title>错误</title></head><body><h1>{BUSY}</h1></body></html>\n"
GATEWAY_PAGE = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<hr>nginx\r\n</body>\r\n</html>\r\n"
UNAUTHORIZED_PAGE = "<html><head><title>401 Unauthorized</title></head><body><h1>Unauthorized</h1></body></html>\n"
_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">\n' for n in range(1, 10))
BOMB = f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE r [\n<!ENTITY l0 "ha">\n{_LAUGHS}]>\n<r>&l9;</r>\n'
IN_PLACE = {
    Quirk.BAD_GATEWAY: (GATEWAY_PAGE, "text/html", 502),
    Quirk.ERROR_PAGE: (ERROR_PAGE, "text/html", 200),
    Quirk.PLAIN_ERROR: (BUSY, "text/plain", 200),
    Quirk.BOMB: (BOMB, "text/xml", 200),
}
