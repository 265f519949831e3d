"""Private keys as files: those that the configuration names, and those that rotations keep beside the spool."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from smtprelay.config import Config, ConfigError
from smtprelay.signing import KeyProblem, Signer, SigningKey, load_key

_SUFFIX = ".pem"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key, and where it lies.

    :param written_at: Unix time in milliseconds.
    """

    key: SigningKey
    file: Path
    written_at: int


def configured_keys(config: Config) -> list[KeyFile]:
    """The keys of all `[[domains.keys]]`.

    :raises ConfigError: with every one that cannot be used.
    """
    keys, problems = [], []
    for domain in config.domains:
        for key in domain.keys:
            try:
                keys.append(_read(key.file, domain.name, key.selector))
            except KeyProblem as error:
                problems.append(f"domains {domain.name}, selector {key.selector}: {error}")
    if problems:
        raise ConfigError(problems)
    return keys


def kept_folder(config: Config) -> Path:
    """Where rotations keep their keys. Nobody else's keys must lie there: one without a fact is taken for a new one."""
    return config.spool.path.parent / "rotated-keys"


def kept_file(folder: Path, domain: str, selector: str) -> Path:
    """Where a rotation keeps a key.

    :param selector: one label.
    """
    return folder / f"{domain}.{selector}{_SUFFIX}"


def kept_keys(folder: Path) -> tuple[list[KeyFile], list[str]]:
    """The keys that rotations have kept, and a sentence about each that cannot be used: mail goes on without it."""
    keys, problems = [], []
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        domain, _, selector = file.name.removesuffix(_SUFFIX).rpartition(".")
        try:
            keys.append(_read(file, domain, selector))
        except KeyProblem as error:
            problems.append(f"{file}, which a rotation has made, cannot be used: {error}")
    return keys, problems


def all_keys(config: Config) -> list[SigningKey]:
    """The keys of the configuration, and those that rotations have kept. One that stands in both is one.

    :raises ConfigError: as `configured_keys`.
    """
    configured = [found.key for found in configured_keys(config)]
    names = {(key.domain, key.selector) for key in configured}
    kept = [found.key for found in kept_keys(kept_folder(config))[0]]
    return configured + [key for key in kept if (key.domain, key.selector) not in names]


def require_keys(config: Config, keys: Iterable[SigningKey]) -> None:
    """:raises ConfigError: a domain has no key, nor has one above it, and its mail may not leave unsigned."""
    signer = Signer(keys)
    keyless = [domain.name for domain in config.domains if signer.domain_for(domain.name) is None]
    if keyless and config.signing.on_missing_key == "reject":
        problem = (
            f"domains without [[domains.keys]]: {', '.join(keyless)}. Make a key with "
            "'smtprelay dkim keygen DOMAIN', or allow mail without a signature: "
            '[signing] on_missing_key = "send-unsigned"'
        )
        raise ConfigError([problem])


def _read(file: Path, domain: str, selector: str) -> KeyFile:
    try:
        pem, written_at = file.read_bytes(), file.stat().st_mtime_ns // 1_000_000
    except OSError as error:
        raise KeyProblem(f"{file} cannot be read: {error.strerror}") from error
    return KeyFile(_loaded(pem, domain, selector), file, written_at)


# To check an RSA key takes OpenSSL 40 ms, and nothing else goes on meanwhile: a reload only looks at what is new.
_loaded = lru_cache(maxsize=1024)(load_key)


def write_secret(file: Path, secret: bytes) -> None:
    """A new file, on the disk when this returns and whole at any moment, that only its owner can read. An existing one
    stays as it is.

    :raises FileExistsError: there is one.
    :raises OSError: it cannot be written.
    """
    changed = [file.parent]
    with suppress(FileExistsError):
        file.parent.mkdir(mode=0o700)
        changed.append(file.parent.parent)
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)  # of a try that was killed
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secret)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(partial, file)  # unlike a rename, it fails where the file exists
    finally:
        partial.unlink()
    for folder in changed:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """See to it that its names are on the disk. :raises OSError: they cannot be written."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
