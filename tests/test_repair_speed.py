"""How long repair takes, and how long it keeps others waiting: bounds that only a wrong algorithm breaks."""

from __future__ import annotations

import threading
import time

import pytest

from smtprelay.reply import Reject
from tests.repair_kit import WHOLE, mend

MIB = 2**20
TEXT = WHOLE + b"Content-Type: text/html\r\n\r\n"
MIXED = WHOLE + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def mend_beside_a_clock(content: bytes) -> tuple[float, float]:
    """Repairs in a thread.

    :returns: seconds of processor time that it took, and the longest that this thread had to wait for its turn.
    """
    errors: list[Exception] = []
    seconds = 0.0

    def work() -> None:
        nonlocal seconds
        try:
            mend(content)
        except Reject:
            pass
        except Exception as error:
            errors.append(error)
        seconds = time.thread_time()  # from the thread's beginning; on the wall clock, a busy machine would count too

    worker = threading.Thread(target=work)
    last = time.perf_counter()
    longest = 0.0
    worker.start()
    while worker.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    worker.join()
    assert not errors
    return seconds, longest


LARGE = {
    "clean text": TEXT + b"A line of text, as people write them, neither long nor short.\r\n" * (25 * MIB // 64),
    "bare LF": TEXT + b"A line of text, as people write them, neither long nor short.\n" * (25 * MIB // 63),
    "German text": TEXT + "Eine Zeile, wie Leute sie schreiben, mit schönen Grüßen\r\n".encode() * (25 * MIB // 60),
    "Chinese text": TEXT + "这是一行中文文本\r\n".encode("gbk") * (25 * MIB // 18),
    "8-bit text without line ends": TEXT + "测".encode() * (25 * MIB // 3),
    "ASCII without line ends": TEXT + b"x" * (25 * MIB),
    "nothing but LF": TEXT + b"\n" * (25 * MIB),
    "nothing but CR": TEXT + b"\r" * (25 * MIB),
    "binary": MIXED + b"--b\r\nContent-Type: a/b\r\n\r\n" + bytes(range(256)) * (25 * MIB // 256),
    "base64 on one line": MIXED + b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * (25 * MIB // 4),
    "boundaries": MIXED + b"--b\r\n" * (5 * MIB) + b"\xff",
    "almost boundaries": MIXED + b"--b\r\n\r\n" + b"--bx\r\n" * (4 * MIB) + b"\xff",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_body_lets_others_run(name: str) -> None:
    # A busy machine makes this thread wait too, once; a call that holds the GIL does so each time.
    runs = (mend_beside_a_clock(LARGE[name]) for _ in range(4))
    assert any(seconds < 10 and longest_wait < 0.1 for seconds, longest_wait in runs)


LARGE_HEADERS = {
    "commas": b"To: " + b"," * (MIB - 200),
    "commas in From": b"From: " + b"a," * (MIB // 2 - 200),
    "addresses": b"To: " + b"a@b.c;" * (MIB // 6 - 200),
    "escaped quotes": b"To: " + b'\\"' * (MIB // 2 - 200),
    "open comments": b"To: " + b"(" * (MIB - 200),
    "groups": b"To: " + b"a:" * (MIB // 2 - 200) + b"\xff;",
    "angle brackets": b"To: " + b'<"' * (MIB // 2 - 200),
    "local part": b"To: " + b"a" * (MIB - 200) + b"@",
    "encoded words": b"Subject: \xff" + b"=?utf-8?q?a?=  " * (MIB // 15 - 200),
    "beginnings of encoded words": b"Subject: \xff" + b"=?a?q?" * (MIB // 6 - 200),
    "white space": b"X-A: " + b" " * (MIB - 200) + b"\xff",
    "folds": b"X-A: " + b"\r\n " * (MIB // 3 - 200) + b"\xff",
    "parameters": b"Content-Type: a/b" + b';a="\xff"' * (MIB // 7 - 200),
    "file name": b'Content-Disposition: a; filename="' + "测".encode() * (MIB // 3 - 200),
    "backslashes": b'Content-Type: a/b; a="' + b"\\" * (MIB - 200) + b"\xff",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE_HEADERS)
def test_no_header_takes_quadratic_time(name: str) -> None:
    seconds, _ = mend_beside_a_clock(LARGE_HEADERS[name] + b"\r\n" + WHOLE.replace(b"From", b"X-From") + b"\r\n")
    assert seconds < 10


def test_small_clean_message_is_cheap() -> None:
    """It is repaired between two others; the bound is many times what it takes."""
    content = WHOLE + b"To: b@c.d\r\nSubject: x\r\n\r\n" + b"A line of text, as people write them.\r\n" * 128
    mend(content)
    begin = time.thread_time()
    for _ in range(100):
        mend(content)
    assert (time.thread_time() - begin) / 100 < 0.005
