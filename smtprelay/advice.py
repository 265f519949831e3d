"""What a configuration that is valid lets happen all the same, in sentences for the operator."""

from __future__ import annotations

from collections.abc import Iterator

from smtprelay.config import Config
from smtprelay.values import is_address, is_loopback

_NOTIFICATIONS = "local"  # `Origin.key` of what the relay makes itself


def insecurities(config: Config) -> Iterator[str]:
    """What is set less safely than it could be."""
    gateway = config.gateway
    if wide := [str(network) for network in gateway.plaintext_auth_networks if not network.is_private]:
        yield f"passwords may cross {', '.join(wide)} without TLS: shorten [gateway] plaintext_auth_networks"
    if public := [str(network) for network in gateway.trusted_networks if not network.is_private]:
        yield f"any program on {', '.join(public)} may send without logging in: shorten [gateway] trusted_networks"
    if gateway.accounts and not gateway.tls_certificate and not gateway.plaintext_auth_networks:
        yield "nobody can log in: set tls_certificate and tls_key, or plaintext_auth_networks"
    for account in gateway.accounts:
        if not account.senders:
            yield f"account {account.username} has no senders, so it can send nothing: set senders"
        elif "*" in account.senders:
            yield f"account {account.username} may send as anybody: shorten its senders"
    for credential in config.upstream.credentials:
        mode, hosts = credential.tls or config.upstream.tls, credential.host or config.upstream.host
        if credential.username and mode == "none" and not all(map(is_loopback, hosts)):
            yield f"the password of credential {credential.key} crosses the network without TLS: set [upstream] tls"
    if config.signing.on_missing_key == "send-unsigned":
        yield "mail of a domain without a key leaves without a signature: set [signing] on_missing_key to reject"
    known = {"", "*", _NOTIFICATIONS, *(account.username for account in gateway.accounts)}
    for number, rule in enumerate(config.upstream.rules, 1):
        if rule.account not in known and not is_address(rule.account):
            yield (
                f"[[upstream.rules]] number {number} is about account {rule.account}, which is not in "
                "[[gateway.accounts]]: it concerns no new mail"
            )


def short_hostname(config: Config) -> str:
    """What to do about a name at EHLO that is not a whole one (RFC 5321 §2.3.5), as one sentence without a full stop;
    ``""`` for nothing."""
    hostname = config.gateway.hostname
    if "." in hostname or not config.upstream.log_ins:
        return ""
    return (
        f'set [gateway] hostname, now "{hostname}", to this machine\'s full name, such as '
        f"relay.{config.domains[0].name}: the smarthost may refuse a name without a dot at EHLO"
    )
