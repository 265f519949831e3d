"""The spool in one SQLite file: one thread writes, a few read."""

from smtprelay.spool.sqlite.spool import SQLiteSpool

__all__ = ["SQLiteSpool"]
