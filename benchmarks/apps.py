"""Whole applications under load: what protection costs where it counts, in requests per second.

All servers run throughout, each in a process of its own; who is not being asked sleeps. Each round visits every
application with either load, in another order each time. Nothing is timed before an application has let a good token
in and kept a forged one out.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tokenguard.config import TokenCache
from tokenguard.testing import LocalIssuer

from . import load
from .applications import PATH, SCOPE, Setting
from .applications.serving import described, serving
from .measuring import Row, Section

STARLETTE, FASTAPI = "benchmarks.applications.on_starlette", "benchmarks.applications.on_fastapi"
WSGI, FLASK, DJANGO = (f"benchmarks.applications.on_{framework}" for framework in ("wsgi", "flask", "django"))


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application to load.

    Attributes:
        name: of its row.
        made_by: `module:function`, called with the `Setting`.
        protected: whether it must keep out who has no token, or a forged one.
        without: how it answers who has none.
        needs: what has to be installed for it.
    """

    name: str
    made_by: str
    protected: bool = True
    without: int = 401
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A kind of applications. The first is the bare one, with which the others are compared."""

    name: str
    server: str
    apps: tuple[App, ...]
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name.lower().replace(" ", "-")


def _ours(module: str, suffix: str = "") -> tuple[App, ...]:
    return (
        App(name="bare", made_by=f"{module}:bare{suffix}", protected=False),
        App(name="tokenguard", made_by=f"{module}:guarded{suffix}"),
        App(name="tokenguard, require_scopes", made_by=f"{module}:guarded_with_scopes{suffix}"),
    )


FRAMEWORKS: Final = (
    Framework(name="Starlette", server="uvicorn", apps=_ours(STARLETTE)),
    Framework(
        name="FastAPI",
        server="uvicorn",
        needs=("fastapi",),
        apps=(
            *_ours(FASTAPI)[:2],
            App(name="tokenguard, Security(guard)", made_by=f"{FASTAPI}:guarded_with_scopes"),
            App(name="PyJWT, PyJWKClient", made_by=f"{FASTAPI}:with_pyjwt"),
            App(name="joserfc", made_by=f"{FASTAPI}:with_joserfc", needs=("joserfc",)),
            App(name="fastapi-azure-auth", made_by=f"{FASTAPI}:with_azure_auth", needs=("fastapi_azure_auth",)),
            App(name="auth0-fastapi-api", made_by=f"{FASTAPI}:with_auth0", without=400, needs=("fastapi_plugin",)),
        ),
    ),
    Framework(name="WSGI", server="gunicorn", needs=("gunicorn",), apps=_ours(WSGI)[:2]),
    Framework(
        name="Flask",
        server="gunicorn",
        needs=("gunicorn", "flask"),
        apps=(
            *_ours(FLASK),
            App(name="PyJWT, PyJWKClient", made_by=f"{FLASK}:with_pyjwt"),
            App(name="Authlib, ResourceProtector", made_by=f"{FLASK}:with_authlib", needs=("authlib", "joserfc")),
        ),
    ),
    Framework(name="Django", server="gunicorn", needs=("gunicorn", "django"), apps=_ours(DJANGO)),
    Framework(name="Django ASGI", server="uvicorn", needs=("django",), apps=_ours(DJANGO, "_asgi")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Tokens in turn.

    Attributes:
        warm: whether each is sent once before the clock starts.
    """

    key: str
    title: str
    tokens: int
    warm: bool


# The second has more tokens than the default cache holds, in a fixed order: none is still known when its turn comes
# again, and the cache is paid for without being of use.
LOADS: Final = (
    Load(key="repeated", title="100 tokens in turn", tokens=100, warm=True),
    Load(key="first-seen", title="each token first seen", tokens=TokenCache().entries + 1000, warm=False),
)


def sections(*, quick: bool) -> Iterator[Section]:
    """Requests per second and their times, for each framework and load."""
    rounds, seconds = (2, 0.3) if quick else (9, 1.0)
    with ExitStack() as stack:
        issuer = stack.enter_context(LocalIssuer(algorithms=("RS256",)))
        setting = _setting(issuer)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        files = {which.key: _write_tokens(issuer, folder / which.key, which.tokens) for which in LOADS}
        stops = [
            _Stop(
                app=app,
                framework=framework,
                port=stack.enter_context(serving(app.made_by, setting, server=framework.server)),
            )
            for framework in FRAMEWORKS
            for app in _installed(framework)
        ]
        good = files["repeated"].read_text().split()[0]
        for stop in stops:
            _check(stop, good)
        order = random.Random(1)
        visits = [(stop, which) for stop in stops for which in LOADS]
        for _ in range(rounds):
            for stop, which in order.sample(visits, len(visits)):
                stop.visit(which, files[which.key], seconds)
    for framework in FRAMEWORKS:
        there = [stop for stop in stops if stop.framework == framework]
        for which in LOADS if there else ():
            yield _rates(framework, which, there)
            yield _latencies(framework, which, there)


class _Stop:
    """A running application on the way of each round, and what came of the visits."""

    def __init__(self, *, app: App, framework: Framework, port: int) -> None:
        self.app = app
        self.framework = framework
        self.port = port
        self.outcomes: dict[str, list[load.Outcome]] = defaultdict(list)
        self._next: dict[str, int] = defaultdict(int)

    def visit(self, which: Load, tokens: Path, seconds: float) -> None:
        if which.warm:
            for token in tokens.read_text().split():
                _require(self, token, 200)
        target = load.Target(port=self.port, path=PATH, tokens=str(tokens))
        try:
            outcome = load.run(target, seconds=seconds, start=self._next[which.key])
        except load.LoadError as error:
            raise RuntimeError(f"{self.framework.name}, {self.app.name}: {error}") from error
        # Where this run ended; some more may have been under way, and are known to the server.
        self._next[which.key] += outcome.requests + 2 * load.CONNECTIONS
        self.outcomes[which.key].append(outcome)

    def note(self, which: Load) -> str:
        busy = statistics.median(outcome.busy for outcome in self.outcomes[which.key])
        return f"the client was busy {busy:.0%} of the time: it may be the limit" if busy > 0.9 else ""


def _setting(issuer: LocalIssuer) -> Setting:
    # One name that all accept: auth0's takes an https URL without a path, and nothing is fetched from it.
    name = "https://issuer.example.com/"
    issuer.metadata |= {
        "issuer": name,
        "authorization_endpoint": f"{name}authorize",
        "token_endpoint": f"{name}token",
    }
    issuer.cache_control = "max-age=3600"
    return Setting(
        issuer=name,
        audience=issuer.audience,
        jwks_uri=issuer.jwks_uri,
        metadata_url=f"{issuer.url}/.well-known/openid-configuration",
    )


def _write_tokens(issuer: LocalIssuer, path: Path, count: int) -> Path:
    # nbf and ver are what Entra's tokens have and fastapi-azure-auth asks for.
    claims = {"iss": issuer.metadata["issuer"], "nbf": int(time.time()), "ver": "2.0"}
    path.write_text("\n".join(issuer.mint(claims, scope=SCOPE, expires_in=86400) for _ in range(count)))
    return path


def _installed(framework: Framework) -> list[App]:
    there = []
    for app in framework.apps:
        if lacking := [name for name in (*framework.needs, *app.needs) if find_spec(name) is None]:
            print(f"{framework.name}, {app.name} is left out: {', '.join(lacking)} is not installed", file=sys.stderr)
        else:
            there.append(app)
    return there


def _check(stop: _Stop, good: str) -> None:
    """See that an application does what it is measured at."""
    head, dot, signature = good.rpartition(".")
    forged = f"{head}{dot}{signature[:20]}{'A' if signature[20] != 'A' else 'B'}{signature[21:]}"
    _require(stop, good, 200)
    _require(stop, None, stop.app.without if stop.app.protected else 200)
    _require(stop, forged, 401 if stop.app.protected else 200)


def _require(stop: _Stop, token: str | None, status: int) -> None:
    connection = HTTPConnection("127.0.0.1", stop.port, timeout=30)
    try:
        connection.request("GET", PATH, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        answered = connection.getresponse().status
    finally:
        connection.close()
    if answered != status:
        raise RuntimeError(f"{stop.framework.name}, {stop.app.name}: answered {answered} where {status} was due")


def _rates(framework: Framework, which: Load, stops: Sequence[_Stop]) -> Section:
    return Section(
        key=f"apps-rate-{framework.key}-{which.key}",
        title=f"{framework.name}, requests per second, {which.title}; the goal is 0.90 of the bare one "
        f"({_conditions(framework)})",
        unit="requests/s",
        baseline="bare",
        more_is_better=True,
        rows=tuple(
            Row(
                name=stop.app.name,
                samples=tuple(outcome.rate for outcome in stop.outcomes[which.key]),
                note=stop.note(which),
            )
            for stop in stops
        ),
    )


def _latencies(framework: Framework, which: Load, stops: Sequence[_Stop]) -> Section:
    return Section(
        key=f"apps-latency-{framework.key}-{which.key}",
        title=f"{framework.name}, time of a request with all connections busy, {which.title} "
        f"({_conditions(framework)})",
        unit="ms",
        baseline="bare, p50",
        rows=tuple(
            row
            for stop in stops
            for row in (
                Row(name=f"{stop.app.name}, p50", samples=tuple(outcome.p50 for outcome in stop.outcomes[which.key])),
                Row(name=f"{stop.app.name}, p99", samples=tuple(outcome.p99 for outcome in stop.outcomes[which.key])),
            )
        ),
    )


def _conditions(framework: Framework) -> str:
    return f"{load.generator()}, {load.CONNECTIONS} connections; {described(framework.server)}, 1 worker; RS256"
