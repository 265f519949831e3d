"""config.toml → validated, frozen models. Bytes in, `Config` or `ConfigError` out; no file is read here.

Every bad key is reported at once, each with its place. Relative paths are relative to the configuration file.
"""

from smtprelay.config.gateway import Account, Gateway
from smtprelay.config.platform import Platform, PlatformAccount
from smtprelay.config.reading import parse_config, parse_control, parse_toml, problems
from smtprelay.config.section import ConfigError, Section
from smtprelay.config.sections import Config, DomainRules, Log
from smtprelay.config.status import Event, Status, StatusAccount, Webhook, webhook_names
from smtprelay.config.suppression import NEVER, SuppressionSection, is_failure_type
from smtprelay.config.upstream import Credential, Rule, Timeouts, TLSMode, Upstream

__all__ = [
    "NEVER",
    "Account",
    "Config",
    "ConfigError",
    "Credential",
    "DomainRules",
    "Event",
    "Gateway",
    "Log",
    "Platform",
    "PlatformAccount",
    "Rule",
    "Section",
    "Status",
    "StatusAccount",
    "SuppressionSection",
    "TLSMode",
    "Timeouts",
    "Upstream",
    "Webhook",
    "is_failure_type",
    "parse_config",
    "parse_control",
    "parse_toml",
    "problems",
    "webhook_names",
]
