"""Who may import whom, kept true over the syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROUND = {"message", "reply", "outcome", "config", "values", "errors", "compose", "routing"}

# These parts of the package may import these others, and nothing else of it.
ONLY = {
    "message": set[str](),
    "reply": set[str](),
    "values": {"message"},
    "outcome": {"message", "reply", "values"},
    "config": {"errors", "message", "reply", "values"},
    "routing": {"config", "message", "outcome", "values", "words"},
    "errors": set[str](),
    "network": set[str](),
    "compose": set[str](),
    "bounce_text": set[str](),
    "bounce": GROUND | {"bounce_text"},
    "failure_types": {"words"},
    "suppression": GROUND | {"failure_types", "spool", "words"},
    "packaged": set[str](),
    "service": set[str](),
    "templating": GROUND | {"packaged", "repair", "worker"},
    "worker": set[str](),
    "contacts": GROUND,
    "instructions": GROUND | {"repair"},
    "repair": GROUND,
    "signing": GROUND,
    "spool": GROUND,
    "resolver": GROUND,
    "domains": GROUND | {"resolver", "signing"},
    "upstream": GROUND | {"network"},
    "platform": GROUND | {"contacts", "failure_types", "network", "words"},
    "quota": GROUND | {"platform", "problems", "spool", "suppression"},
    "feedback": GROUND | {"platform", "problems", "spool", "suppression"},
    "books": GROUND | {"platform", "spool", "suppression"},
    "events": {"spool"},
    "webhooks": GROUND | {"events", "spool"},
    "words": {"retelling", "words_zh"},
    "words_zh": {"findings_zh", "platform_zh", "problems_zh", "repairs_zh", "suppression_zh"},
    "platform_zh": set[str](),
    "findings_zh": set[str](),
    "problems_zh": set[str](),
    "repairs_zh": set[str](),
    "suppression_zh": {"failure_types"},
    "retelling": set[str](),
    "problems": {"words"},
    "health": GROUND
    | {"certificates", "domains", "log", "problems", "scheduler", "spool", "upstream", "watch", "words"},
    "pulse": {"health", "problems", "spool"},
    "story": GROUND | {"clock", "spool", "story_advice", "suppression", "words"},
    "story_advice": GROUND | {"spool", "suppression", "words"},
    "certificates": {"log", "problems", "words"},
    "credentials": GROUND | {"certificates", "upstream"},
    "metrics": set[str](),
}
# These may import anything but …
NEVER = {
    "gateway": {"spool", "scheduler", "delivery", "upstream"},
    "delivery": {"gateway", "pipeline"},
    "notifications": {"gateway", "pipeline"},
    "scheduler": {"gateway", "pipeline"},
    "way_in": {"scheduler", "delivery", "upstream", "way_out"},
    "way_out": {"gateway", "pipeline", "way_in"},
    "web": {"gateway", "pipeline", "steps", "delivery", "scheduler", "upstream", "daemon", "cli", "client"},
    "client": {"gateway", "pipeline", "spool", "scheduler", "delivery", "daemon", "cli"},
}
# These libraries are imported here only; sandbox plays the other side and may import any of them.
LIBRARIES = {
    "aiosmtpd": {"gateway"},
    "aiosmtplib": {"upstream"},
    "dns": {"resolver"},
    "httpx": {"platform", "webhooks"},
    "defusedxml": {"platform"},
    "prometheus_client": {"web"},
    "jinja2": {"templating", "web"},
    "starlette": {"web", "control_http", "http_server"},
    "uvicorn": {"web", "control_http", "http_server"},
    "dkim": set[str](),  # it verifies, in the sandbox
}
# The ground, and what is pure beside it, neither waits, reads, writes nor looks at the clock.
PURE = GROUND | {"bounce", "bounce_text", "suppression"}
IMPURE_MODULES = {
    "asyncio",
    "io",
    "logging",
    "os",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "threading",
    "time",
}
IMPURE_NAMES = {"open", "input", "print"}
IMPURE_METHODS = {"now", "today", "utcnow", "read_bytes", "read_text", "write_bytes", "write_text", "open", "exists"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module's dotted name within the package, and its tree."""
    for path in sorted((ROOT / "smtprelay").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts), ast.parse(path.read_bytes(), str(path))


MODULES = dict(modules())
# A module that is imported by its name when it is wanted: "smtprelay.web.app", "smtprelay.cli.queue:app".
_NAMED = re.compile(r"smtprelay(\.\w+)+(:\w+)?")


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """Absolute dotted names of all that a module imports, at its head, within functions, or by a name in a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")[: -node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from smtprelay import bounce` imports a module, `from smtprelay.bounce import wants` a name.
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAMED.fullmatch(node.value):
            yield node.value.replace(":", ".")


def part(name: str) -> str:
    """``smtprelay.gateway.session`` → ``gateway``; ``""`` for the package itself and for other packages."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == "smtprelay" and _is_part(rest.partition(".")[0]) else ""


def _is_part(name: str) -> bool:
    return (ROOT / "smtprelay" / name).is_dir() or (ROOT / "smtprelay" / f"{name}.py").is_file()


def parts_imported(name: str) -> set[str]:
    """The other parts of the package that a module imports."""
    return {part(target) for target in imported(name, MODULES[name])} - {"", part(name)}


@pytest.mark.parametrize("name", MODULES)
def test_parts(name: str) -> None:
    found = parts_imported(name)
    everywhere = set[str]() if part(name) in PURE else {"metrics"}  # whatever does something may count it
    assert found <= ONLY.get(part(name), found) | everywhere
    assert not found & NEVER.get(part(name), set())


@pytest.mark.parametrize("name", MODULES)
def test_libraries(name: str) -> None:
    roots = {target.partition(".")[0] for target in imported(name, MODULES[name])}
    misplaced = {root for root in roots & LIBRARIES.keys() if part(name) not in LIBRARIES[root] | {"sandbox"}}
    assert not misplaced


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in PURE])
def test_ground_is_pure(name: str) -> None:
    tree = MODULES[name]
    assert not {target.partition(".")[0] for target in imported(name, tree)} & IMPURE_MODULES
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {call.id for call in calls if isinstance(call, ast.Name)} & IMPURE_NAMES
    assert not {call.attr for call in calls if isinstance(call, ast.Attribute)} & IMPURE_METHODS


# The daemon and the command line stand above them; sandbox, beside them.
@pytest.mark.parametrize("name", [name for name in MODULES if part(name) not in ("parts", "daemon", "cli", "sandbox")])
def test_nothing_else_joins_the_two_halves(name: str) -> None:
    found = parts_imported(name)
    assert not (found & {"gateway", "pipeline"} and found & {"delivery", "scheduler"})


def test_the_test_sees_imports() -> None:
    tree = ast.parse(
        "from . import limits\nfrom ..spool import Spool\ndef f():\n    import dns.resolver\n"
        "LATER = {'queue': 'smtprelay.cli.queue:app'}\n"
    )
    assert set(imported("smtprelay.gateway.session", tree)) == {
        "smtprelay.gateway.limits",
        "smtprelay.spool.Spool",
        "dns.resolver",
        "smtprelay.cli.queue.app",
    }
    assert part("smtprelay.spool.Spool") == "spool"
    assert part("smtprelay.__version__") == part("dns.resolver") == ""
