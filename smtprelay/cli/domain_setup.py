"""What the commands check domains with: the rules, the keys, DNS."""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from smtprelay.cli.configuration import DEFAULT_CONFIG, config_path, fail, load_config
from smtprelay.cli.remote import key_states
from smtprelay.clock import now_ms
from smtprelay.config import Config, ConfigError, DomainRules, PlatformAccount
from smtprelay.domains.checker import Checker
from smtprelay.domains.verdict import Verdict
from smtprelay.keyfiles import all_keys
from smtprelay.keyring import KeyState
from smtprelay.resolver import Lookup, Resolver
from smtprelay.signing import Signer, SigningKey
from smtprelay.values import parse_domain


@dataclass(frozen=True, slots=True)
class Setup:
    """What domains are checked with.

    :param keys: None where they cannot be read.
    :param control: the daemon's socket, where one may run.
    :param notes: what a person has to know of all this.
    :param accounts: of the platform, who can ask it.
    :param option: that names the configuration, for commands to paste.
    """

    rules: DomainRules
    known: tuple[str, ...] = ()
    keys: tuple[SigningKey, ...] | None = ()
    control: Path | None = None
    notes: tuple[str, ...] = ()
    accounts: tuple[PlatformAccount, ...] = ()
    option: str = ""

    async def verdict(self, name: str, lookup: Lookup) -> Verdict:
        """How a domain stands."""
        checker = Checker(self.rules, self.known, Signer(self.keys or ()).keys_for)
        verdict = await checker.check(name, lookup, now_ms())
        if self.keys is None:  # nothing can be said of them
            return replace(verdict, findings=tuple(f for f in verdict.findings if f.rule != "dkim"))
        return verdict

    def with_keys(self, *states: KeyState) -> Setup:
        """Without the keys that a running daemon has in other states."""
        if not self.keys or not self.control:
            return self
        known = key_states(self.control)
        keys = tuple(key for key in self.keys if known.get((key.domain, key.selector), states[0]) in states)
        return replace(self, keys=keys)

    @asynccontextmanager
    async def resolver(self) -> AsyncIterator[Resolver]:
        """DNS, as the rules want it asked."""
        resolver = Resolver(self.rules.nameservers, clock=now_ms)
        try:
            yield resolver
        finally:
            await resolver.close()


def find_setup(option: Path | None) -> Setup:
    """By the configuration; by the default rules for who has none yet.

    :param option: the configuration's file, where it is named.
    """
    if option is None and not os.environ.get("SMTPRELAY_CONFIG") and not DEFAULT_CONFIG.exists():
        note = f"{DEFAULT_CONFIG} does not exist, and -c names no other: the default rules count, and no key is known."
        return Setup(DomainRules(), notes=(note,))
    setup = setup_of(load_config(option), config_path(option))
    return replace(setup, option=f" -c {shlex.quote(str(option))}") if option else setup


def setup_of(config: Config, path: Path) -> Setup:
    """What a configuration says.

    :param path: its file's, to be named.
    """
    keys: tuple[SigningKey, ...] | None = None
    notes: tuple[str, ...] = ()
    try:
        keys = tuple(all_keys(config))
    except ConfigError as error:
        notes = (*(f"{path}: {problem}." for problem in error.problems), "Without them nothing is said of our keys.")
    known = tuple(section.name for section in config.domains)
    return Setup(config.domain_rules, known, keys, config.status.control, notes, config.platform.accounts)


def checked_domain(text: str) -> str:
    """A domain's name as it is in DNS, or the end of the program."""
    try:
        name = parse_domain(text)
    except ValueError:
        name = ""
    if "." not in name or name.rpartition(".")[2].isdecimal():  # RFC 3696 §2: an IP address, say
        fail(os.EX_USAGE, f"{text!r} is not a domain name: give one such as example.com.")
    return name
