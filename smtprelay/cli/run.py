"""`smtprelay run`: the daemon, in the foreground."""

from __future__ import annotations

import os

from smtprelay.cli.common import ConfigOption, fail, load_config


def run(config: ConfigOption = None) -> None:
    """Run the relay until SIGTERM."""
    import structlog
    import uvloop

    from smtprelay import log
    from smtprelay.advice import insecurities
    from smtprelay.config import ConfigError
    from smtprelay.control import ControlError
    from smtprelay.daemon import Daemon
    from smtprelay.gateway.listeners import ListenError
    from smtprelay.spool import SpoolError

    settings = load_config(config)
    log.configure(settings.log)
    for warning in insecurities(settings):
        structlog.get_logger("daemon").warning("insecure configuration", problem=warning)
    try:
        uvloop.run(Daemon(settings).run())
    except (ConfigError, ListenError, ControlError) as error:
        fail(os.EX_CONFIG, str(error))
    except SpoolError as error:
        fail(os.EX_TEMPFAIL, str(error))
