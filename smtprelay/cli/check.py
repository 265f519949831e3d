"""`smtprelay check`: what will go wrong, before it does."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from smtprelay.advice import insecurities, short_hostname
from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import config_path, load_config
from smtprelay.clock import now_ms
from smtprelay.config import Config, ConfigError, DomainRules, PlatformAccount
from smtprelay.domains.verdict import Finding as DomainFinding
from smtprelay.domains.verdict import Status
from smtprelay.outcome import accepts_credential
from smtprelay.words import octets

_CODES = {Status.FAIL: os.EX_CONFIG, Status.TEMPORARY: os.EX_TEMPFAIL}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    what: str
    result: Literal["ok", "warning", "failed"]
    detail: str
    code: int = os.EX_OK


def check(
    config: ConfigOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Leave out what needs the network.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration, its files and keys, what DNS says of the domains, the log-in to the smarthost, and the
    platform's accounts."""
    settings = load_config(config)
    findings = [Finding("configuration", "ok", str(config_path(config))), *_local(settings)]
    if not offline:
        findings += asyncio.run(_domains(settings, config_path(config)))
        if not any(finding.what == "passwords" and finding.code for finding in findings):
            findings += asyncio.run(_log_ins(settings))
        findings += _platform(settings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding.result:<8} {finding.what}: {finding.detail}")
    # What has to be mended (78) comes before what may pass by itself (75, 69).
    raise typer.Exit(max(finding.code for finding in findings))


def _local(config: Config) -> Iterator[Finding]:
    from smtprelay.credentials import read_passwords, read_platform_passwords, read_webhook_keys
    from smtprelay.routing import Routing

    for warning in insecurities(config):
        yield Finding("security", "warning", warning)
    if advice := short_hostname(config):
        yield Finding("hostname", "warning", advice)
    if mode := Routing(config.upstream).told():
        yield Finding("mode", "warning", mode)
    try:
        if passwords := read_passwords(config):
            yield Finding("passwords", "ok", f"{len(passwords)} of [[upstream.credentials]]")
    except ConfigError as error:
        yield Finding("passwords", "failed", str(error), os.EX_CONFIG)
    try:
        if keys := read_webhook_keys(config):
            yield Finding("webhooks", "ok", f"{len(keys)} with their secrets")
    except ConfigError as error:
        yield Finding("webhooks", "failed", str(error), os.EX_CONFIG)
    try:
        if accounts := read_platform_passwords(config):
            yield Finding("platform", "ok", f"{len(accounts)} of [[platform.accounts]] with their passwords")
    except ConfigError as error:
        yield Finding("platform", "failed", str(error), os.EX_CONFIG)
    yield from _keys(config)
    yield from _certificates(config)
    yield _spool(config)
    yield from _templates(config)


def _templates(config: Config) -> Iterator[Finding]:
    """Nothing where none are configured: most apps compose their mail themselves."""
    from smtprelay.cli.template import findings_of
    from smtprelay.templating.library import Templates

    directory = config.templates.directory
    if not directory.is_dir():
        if "directory" in config.templates.model_fields_set:
            detail = f"[templates] directory {directory} does not exist: mail that names a template is refused (550)"
            yield Finding("templates", "warning", detail)
        return
    templates = Templates(directory)
    found = findings_of(templates, templates.names())
    for name, problems in found.items():
        for problem in problems:
            failed = problem.level == "failed"
            code = os.EX_CONFIG if failed else os.EX_OK
            yield Finding("template", "failed" if failed else "warning", f"{name}: {problem}", code)
    yield Finding(
        "templates", "ok", f"{sum(not problems for problems in found.values())} of {len(found)} in {directory}"
    )


def _keys(config: Config) -> Iterator[Finding]:
    from smtprelay.keyfiles import all_keys, kept_folder, kept_keys, require_keys

    for problem in kept_keys(kept_folder(config))[1]:
        yield Finding("key", "warning", problem)
    try:
        keys = all_keys(config)
        require_keys(config, keys)
    except ConfigError as error:
        yield Finding("keys", "failed", str(error), os.EX_CONFIG)
        return
    for key in keys:
        yield Finding("key", "ok", f"{key.record_name} ({key.algorithm})")
        if key.warning:
            yield Finding("key", "warning", key.warning)


def _certificates(config: Config) -> Iterator[Finding]:
    from smtprelay.certificates import read_certificate
    from smtprelay.sockets import ListenError, tls_context

    for name, section in (("gateway", config.gateway), ("status", config.status)):
        path = section.tls_certificate
        try:
            if not tls_context(path, section.tls_key):
                continue
        except ListenError as error:
            yield Finding("TLS", "failed", f"[{name}] {error}", os.EX_CONFIG)
            continue
        certificate = read_certificate(name, path)
        if not (problem := certificate and certificate.problem(now_ms())):
            yield Finding("TLS", "ok", f"[{name}] {path}")
        elif problem.severity == "critical":
            yield Finding("TLS", "failed", f"{problem.sentence} {problem.remedy}", os.EX_CONFIG)
        else:
            yield Finding("TLS", "warning", f"{problem.sentence} {problem.remedy}")


def _spool(config: Config) -> Finding:
    folder, floor = config.spool.path.parent, config.spool.min_free
    if not folder.is_dir():
        return Finding("spool", "failed", f"{folder} does not exist: make it, owned by the daemon's user", os.EX_CONFIG)
    if not os.access(folder, os.W_OK):
        return Finding("spool", "failed", f"{folder} cannot be written to by this user", os.EX_CONFIG)
    free = shutil.disk_usage(folder).free
    if free < floor:
        detail = f"{octets(free)} free in {folder} are less than min_free ({octets(floor)}): all mail would be refused"
        return Finding("spool", "failed", detail, os.EX_CONFIG)
    return Finding("spool", "ok", f"{config.spool.path}, {octets(free)} free")


async def _domains(config: Config, path: Path) -> list[Finding]:
    """What is required of each configured domain, and of our keys what receivers cannot verify with."""
    from smtprelay.cli.domain_setup import setup_of
    from smtprelay.keyring import KeyState

    if config.domain_rules.on_failure == "off":
        return []
    setup = setup_of(config, path).with_keys(KeyState.ACTIVE)
    async with setup.resolver() as resolver:
        verdicts = await asyncio.gather(*(setup.verdict(domain.name, resolver) for domain in config.domains))
    return [
        _of_domain(verdict.domain, finding, config.domain_rules)
        for verdict in verdicts
        for finding in verdict.findings
        if finding.rule in config.domain_rules.require or _spoils_signatures(finding)
    ]


def _spoils_signatures(found: DomainFinding) -> bool:
    """What is published there is not our key. (Where nothing is, nobody takes offence.)"""
    return found.rule == "dkim" and found.status is Status.FAIL and bool(found.found)


def _of_domain(domain: str, found: DomainFinding, rules: DomainRules) -> Finding:
    from smtprelay.domains.verdict import rule_name

    name = f"{domain}, {rule_name(found, rules)}"
    if found.passes:
        return Finding("domain", "ok", f"{name}: {found.found}")
    # Where its mail is sent all the same, the relay works as it is meant to.
    sent = rules.on_failure == "warn" or found.rule not in rules.require
    code = os.EX_OK if sent else _CODES[found.status]
    publish = "".join(f"; publish {record.zone_line}" for record in found.publish)
    return Finding("domain", "failed" if code == os.EX_CONFIG else "warning", f"{name}: {found.problem}{publish}", code)


def _platform(config: Config) -> Iterator[Finding]:
    """How the accounts of the platform stand."""
    from smtprelay.credentials import read_platform_password

    for account in config.platform.accounts:
        try:
            password = read_platform_password(account)
        except ValueError:  # which was told with the files
            continue
        yield from _account(account, password)


def _account(account: PlatformAccount, password: str) -> Iterator[Finding]:
    from smtprelay.platform import NotAuthorised, PlatformClient, PlatformError
    from smtprelay.quota import Standing, troubles

    try:
        with PlatformClient(
            account.username, password, account.base_url, allow_insecure=account.allow_insecure
        ) as platform:
            standing = Standing.of(platform.account.service(), now_ms())
    except PlatformError as error:
        code = os.EX_CONFIG if isinstance(error, NotAuthorised) else os.EX_UNAVAILABLE
        yield Finding("platform", "failed", f"{account.key}: {error}", code)
        return
    problems = list(troubles(account, standing, now_ms()))
    if all(problem.severity == "warning" for problem in problems):
        left = "" if standing.available is None else f", {standing.available:,} left"
        ends = f", until {standing.ends}" if standing.ends else ""
        yield Finding("platform", "ok", f"{account.key}: {standing.status}{left}{ends}")
    for problem in problems:
        told = f"{problem.sentence} {problem.remedy}"
        if problem.severity == "critical":
            yield Finding("platform", "failed", told, os.EX_UNAVAILABLE)
        else:
            yield Finding("platform", "warning", told)


async def _log_ins(config: Config) -> list[Finding]:
    from smtprelay.credentials import read_lanes
    from smtprelay.upstream import Upstream

    try:
        upstream = Upstream(config.upstream, hostname=config.gateway.hostname, lanes=read_lanes(config))
    except ConfigError as error:
        return [Finding("TLS", "failed", str(error), os.EX_CONFIG)]
    findings = []
    try:
        for credential in config.upstream.log_ins:
            fact = await upstream.probe(credential.key)
            accepted = accepts_credential(fact)
            detail = f"{credential.key} at {', '.join(credential.host or config.upstream.host)}: {fact}"
            code = os.EX_OK if accepted else os.EX_UNAVAILABLE
            findings.append(Finding("log-in", "ok" if accepted else "failed", detail, code))
    finally:
        await upstream.close()
    return findings
