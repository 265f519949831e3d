"""Files on their way to the platform, which tell how far they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import IO, Any

from smtprelay.platform.call import Call, Progress, Upload

Files = list[tuple[str, tuple[str, Any]]]  # as httpx wants them


@contextmanager
def opened(call: Call[object]) -> Iterator[Files]:
    """The uploads of a call. :raises OSError: one cannot be opened."""
    with ExitStack() as files:
        sent = _Sent(call.progress)
        yield [
            (upload.name, (upload.filename, _Reader(files.enter_context(_open(upload)), sent)))
            for upload in call.uploads
        ]


def _open(upload: Upload) -> IO[bytes]:
    return BytesIO(upload.source) if isinstance(upload.source, bytes) else upload.source.open("rb")


class _Sent:
    """How much of all uploads of a call went."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done = self.total = 0


class _Reader:
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], sent: _Sent) -> None:
        self._file, self._sent = file, sent
        self._counted = 0
        sent.total += file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        octets = self._file.read(size)
        self._counted += len(octets)
        self._sent.done += len(octets)
        if self._sent.progress and octets:
            self._sent.progress(self._sent.done, self._sent.total)
        return octets

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset == 0 and whence == os.SEEK_SET:  # it is sent from its beginning
            self._sent.done -= self._counted
            self._counted = 0
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
