"""What can run here."""

from __future__ import annotations

from tests.systemd.boot import bootable

# It is more than a package that is missing: not every machine lets root boot a second systemd.
collect_ignore = [] if bootable() else ["test_booted.py"]
