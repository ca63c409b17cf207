"""The main job, shown: a protected Starlette app under uvicorn, two issuers, and real requests good and bad."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .config import Issuer
from .integrations.starlette import TokenGuardMiddleware, get_token, require_scopes
from .introspection import Introspection
from .testing import Fault, LocalIssuer
from .validator import TokenValidator

_ALGORITHMS = ("RS256", "ES256")
_EXPIRED = 'error="invalid_token", error_description="The access token expired"'
_TOO_FEW = (
    'error="insufficient_scope", error_description="The request requires higher privileges than provided by the '
    'access token", scope="write:users"'
)
_INVALID = 'error="invalid_token", error_description="The access token is invalid"'


async def _whoami(request: Request) -> Response:
    token = get_token(request)
    return JSONResponse({"subject": token.subject, "scopes": sorted(token.scopes)})


@require_scopes("write:users")
async def _update_users(request: Request) -> Response:
    return JSONResponse({"updated_by": get_token(request).subject})


def protected_app(validator: TokenValidator) -> Starlette:
    """All that an API team writes: the middleware on the app, the scopes on the route."""
    return Starlette(
        routes=[Route("/whoami", _whoami), Route("/users", _update_users, methods=["POST"])],
        middleware=[Middleware(TokenGuardMiddleware, validator=validator)],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request, and the answer that it must get."""

    what: str
    api: str
    authorization: str | None
    status: int
    challenge: str | None = None
    method: str = "GET"
    path: str = "/whoami"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came back."""

    case: Case
    status: int
    challenge: str | None
    milliseconds: float

    @property
    def as_it_must(self) -> bool:
        """Whether status and challenge are the expected ones, to the letter."""
        return (self.status, self.challenge) == (self.case.status, self.case.challenge)


def demo(*, serve: bool = False) -> int:
    """Run the demo; 0 if every request was answered as it must be."""
    with ExitStack() as stack:
        issuer = stack.enter_context(LocalIssuer(algorithms=_ALGORITHMS))
        partner = stack.enter_context(LocalIssuer(algorithms=("EdDSA",)))
        api = stack.enter_context(_running(issuer, partner))
        print(f"issuers {issuer.url}, {partner.url}\nAPI     {api}, protected by tokenguard\n")
        # A second API has not seen the issuers yet when one of them goes away.
        cold_api = stack.enter_context(_running(issuer, partner))
        client = stack.enter_context(httpx.Client(trust_env=False, timeout=10))
        outcomes = [_send(client, case) for case in _cases(issuer, partner, api, cold_api)]
        _print(outcomes)
        if serve:
            issuer.up()
            _serve(issuer, api)
    wrong = [outcome for outcome in outcomes if not outcome.as_it_must]
    print(f"\n{len(outcomes) - len(wrong)} of {len(outcomes)} answered as they must be.")
    return 1 if wrong else 0


def _cases(issuer: LocalIssuer, partner: LocalIssuer, api: str, cold_api: str) -> Iterator[Case]:
    """The requests in their order; between two of them an issuer's state changes."""
    realm = f'Bearer realm="{issuer.audience}"'

    def case(what: str, token: str | None, status: int, challenge: str | None = None) -> Case:
        authorization = None if token is None else f"Bearer {token}"
        expected = f"{realm}, {challenge}" if challenge else None
        return Case(what=what, api=api, authorization=authorization, status=status, challenge=expected)

    yield Case(what="no token", api=api, authorization=None, status=401, challenge=realm)
    yield case("a good token (RS256)", issuer.mint(scope="read:users"), 200)
    yield case("a good token (ES256)", issuer.mint(scope="read:users", alg="ES256"), 200)
    yield Case(
        what="too few scopes",
        api=api,
        authorization=f"Bearer {issuer.mint(scope='read:users')}",
        status=403,
        challenge=f"{realm}, {_TOO_FEW}",
        method="POST",
        path="/users",
    )
    yield Case(
        what="enough scopes",
        api=api,
        authorization=f"Bearer {issuer.mint(scope='read:users write:users')}",
        status=200,
        method="POST",
        path="/users",
    )
    yield case("an expired token", issuer.mint(expires_in=-3600), 401, _EXPIRED)
    yield case("a token for another audience", issuer.mint(audience="https://other.example.com"), 401, _INVALID)
    yield case("forged, attacker's key embedded (jwk)", _forged_with_embedded_key(issuer), 401, _INVALID)
    yield case("unsigned (alg none)", issuer.mint(alg="none"), 401, _INVALID)
    yield case(
        "HS256 keyed with the public key", issuer.mint(alg="HS256", key=issuer.public_pem("RS256")), 401, _INVALID
    )
    yield case("a second issuer's token (EdDSA)", partner.mint(), 200)
    yield case("the second in the first one's name", partner.mint({"iss": issuer.url}), 401, _INVALID)
    yield case("a good opaque token", issuer.mint_opaque(scope="read:users"), 200)
    revoked = issuer.mint_opaque()
    issuer.revoke(revoked)
    yield case("a revoked opaque token", revoked, 401, _INVALID)
    issuer.fail(Fault.SERVER_ERROR, on="introspection")
    yield case("opaque, introspection down", issuer.mint_opaque(), 503)
    issuer.recover()
    issuer.rotate("RS256")
    yield case("after the issuer rotated its key", issuer.mint(), 200)
    token = issuer.mint()
    issuer.down()
    yield case("issuer down, key known", token, 200)
    yield Case(what="issuer down, keys unknown (cold API)", api=cold_api, authorization=f"Bearer {token}", status=503)


def _forged_with_embedded_key(issuer: LocalIssuer) -> str:
    # CVE-2018-0114: a library that believes the header verifies the attacker's signature with the attacker's key.
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return issuer.mint(key=key, alg="RS256", header={"jwk": RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)})


def _send(client: httpx.Client, case: Case) -> Outcome:
    headers = {} if case.authorization is None else {"Authorization": case.authorization}
    start = time.perf_counter()
    response = client.request(case.method, f"{case.api}{case.path}", headers=headers)
    return Outcome(
        case=case,
        status=response.status_code,
        challenge=response.headers.get("www-authenticate"),
        milliseconds=(time.perf_counter() - start) * 1000,
    )


@contextmanager
def _running(issuer: LocalIssuer, partner: LocalIssuer) -> Iterator[str]:
    """A protected API of its own under uvicorn, on a free port of this machine."""
    (api,) = issuer.clients
    introspection = Introspection(client_id=api.client_id, client_secret=api.secret)
    validator = TokenValidator(
        Issuer(issuer.url, algorithms=_ALGORITHMS, introspection=introspection),
        Issuer(partner.url, algorithms=("EdDSA",)),
        audience=issuer.audience,
    )
    config = uvicorn.Config(protected_app(validator), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    # asyncio switches Nagle's algorithm off, if told that it is TCP; or else each second answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening, validator:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _print(outcomes: list[Outcome]) -> None:
    colours = sys.stdout.isatty()
    print(f"   {'sent':<38} {'status':>6} {'time':>9}  challenge")
    for outcome in outcomes:
        mark = "ok" if outcome.as_it_must else "!!"
        if colours:
            mark = f"\033[3{2 if outcome.as_it_must else 1}m{mark}\033[0m"
        challenge = _short(outcome.challenge)
        print(f"{mark} {outcome.case.what:<38} {outcome.status:>6} {outcome.milliseconds:>6.1f} ms  {challenge}")
        if not outcome.as_it_must:
            print(f"   must be {outcome.case.status} {outcome.case.challenge}, was {outcome.challenge}")


def _short(challenge: str | None) -> str:
    """A challenge for a narrow table: without the realm, which is the same in each, and without the long sentence."""
    if challenge is None:
        return "-"
    parts = challenge.removeprefix("Bearer ").split(", ")
    telling = [part for part in parts if not part.startswith("realm=") and len(part) < 70]
    return f"Bearer {', '.join(telling or parts)}"


def _serve(issuer: LocalIssuer, api: str) -> None:
    reader, writer = (issuer.mint(scope=scope, expires_in=86400) for scope in ("read:users", "read:users write:users"))
    print(f"\nTry it (Ctrl-C ends it):\n\n  curl -i {api}/whoami")
    print(f"\n  curl -i {api}/whoami -H 'Authorization: Bearer {reader}'")
    print(f"\n  curl -i {api}/whoami -H 'Authorization: Bearer {issuer.mint_opaque(expires_in=86400)}'")
    print(f"\n  curl -i -X POST {api}/users -H 'Authorization: Bearer {reader}'")
    print(f"\n  curl -i -X POST {api}/users -H 'Authorization: Bearer {writer}'")
    sys.stdout.flush()  # into a pipe or a file, too, before it waits
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
