"""An authorization server that is asked about tokens, and a core that asks it: no sockets, no threads, no time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from tests.forge import AUDIENCE, DROP, ISSUER, JWKS, NOW, as_bytes, b64, claims, forge
from tests.steps import Reply, World
from tokenguard import (
    AccessToken,
    Introspection,
    InvalidToken,
    Issuer,
    Reason,
    TenantIssuers,
    TokenCache,
    TokenValidator,
    Unavailable,
)
from tokenguard._core import Check, Core
from tokenguard._fetch import Answer, Fetch, Miss, Request
from tokenguard._introspection.introspector import Introspector
from tokenguard._introspection.opaque import Select
from tokenguard.events import Event

ENDPOINT = "https://as.example.com/introspect"
OTHER, OTHER_ENDPOINT = "https://other.example.com", "https://other.example.com/introspect"
SECRET = "s3cret-of-the-api"
OPAQUE = "2YotnFZFEjr1zCsicMWpAA"
ID, LOCAL = "https://as.example.com", AUDIENCE
INACTIVE = {"active": False}
BY_DEFAULT = TokenCache()

JWT = forge(claims(scope="read write", client_id="client-1", jti="token-1"))
JWT_OF_NOBODY = forge(claims(iss="https://nobody.example.com"))
JWT_BAD_SIGNATURE = f"{JWT[:-8]}AAAAAAAA"
JWT_EXPIRED = forge(claims(exp=NOW - 3600))
JWT_NONE = f"{b64(as_bytes({'alg': 'none', 'kid': 'rs'}))}.{b64(as_bytes(claims()))}."
JWT_NONE_SIGNED = f"{JWT_NONE}AAAA"
JWT_BROKEN = f"{b64(as_bytes({'alg': 'RS256', 'kid': 'rs'}))}.e30x.AAAA"
JWE = f"{b64(as_bytes({'alg': 'RSA-OAEP', 'enc': 'A256GCM'}))}.AAAA.AAAA.AAAA.AAAA"

Teller = Callable[[str], Reply]


def asked(**options: Any) -> Introspection:
    """How to ask, at `ENDPOINT` and with a secret unless it is said otherwise."""
    plain: dict[str, Any] = {"endpoint": ENDPOINT, "client_id": "api", "client_secret": SECRET}
    return Introspection(**{name: value for name, value in {**plain, **options}.items() if value is not DROP})


def issuer(url: str = ISSUER, introspection: Introspection | None = None, **options: Any) -> Issuer:
    """One that can be asked, with the keys of `forge` where it has any."""
    introspection = asked() if introspection is None else introspection
    keyless = introspection.policy == "only" and not introspection.signed_response
    elsewhere = {"jwks_uri", "metadata_url"} & options.keys()
    plain: dict[str, Any] = {} if keyless or elsewhere else {"jwks": JWKS}
    return Issuer(url, introspection=introspection, **{**plain, **options})


def active(**changes: object) -> dict[str, object]:
    """The answer about a good token, with members changed, added or dropped."""
    members = {
        "active": True,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "client_id": "client-1",
        "scope": "read write",
        "token_type": "Bearer",
        "iat": NOW - 10,
        "exp": NOW + 600,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not DROP}


def reading(**changes: object) -> dict[str, object]:
    """The same without `iss`, for any issuer."""
    return active(**{"iss": DROP, **changes})


class Scene(World):
    """A core, its issuers, and what they answer: by endpoint, then by token."""

    def __init__(
        self,
        *issuers: Issuer | TenantIssuers,
        audience: str | None = AUDIENCE,
        select: Select | None = None,
        checks: Iterable[Check] = (),
        token_cache: TokenCache | None = BY_DEFAULT,
    ) -> None:
        super().__init__()
        self.tells: dict[str, Reply | Teller] = {ENDPOINT: active()}
        self.core = Core(
            issuers or (issuer(),),
            audience=None if audience is None else frozenset({audience}),
            checks=checks,
            token_cache=token_cache,
            emit=self.events.append,
            select=select,
            random=lambda: self.chance,
        )
        self.due = self.core.due
        self.events.clear()  # of keys in the configuration that are of no use

    @property
    def now(self) -> float:
        return NOW + self.tick

    @property
    def calls(self) -> int:
        """How often anybody was asked about a token."""
        return len(self.questions)

    @property
    def questions(self) -> list[Request]:
        return [request for request in self.requests if request.form is not None]

    @property
    def said(self) -> list[str]:
        """Which tokens were shown to whom, as `endpoint token`."""
        return [f"{request.url} {form(request)['token']}" for request in self.questions]

    def introspector(self, url: str = ISSUER) -> Introspector:
        found = self.core.trust.named[url].introspector
        assert found is not None
        return found

    def start(self, token: str | bytes = OPAQUE) -> Miss[AccessToken]:
        """Look, and expect that somebody has to be asked."""
        outcome = self.core.decide(token, self.now, self.tick)
        assert isinstance(outcome, Miss)
        return outcome

    def validate(self, token: str | bytes = OPAQUE) -> AccessToken:
        outcome = self.core.decide(token, self.now, self.tick)
        while isinstance(outcome, Miss):
            answer = self.fly(outcome.fetch)
            outcome = outcome.resume(answer, self.now, self.tick)
        return outcome

    def refused(self, token: str | bytes = OPAQUE) -> InvalidToken:
        with pytest.raises(InvalidToken) as caught:
            self.validate(token)
        return caught.value

    def unavailable(self, token: str | bytes = OPAQUE) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            self.validate(token)
        assert caught.value.status == 503
        assert int(caught.value.headers["Retry-After"]) >= 1
        assert "WWW-Authenticate" not in caught.value.headers
        return caught.value

    def outcome(self, token: str | bytes) -> str:
        """`accept`, or the reason why not."""
        try:
            self.validate(token)
        except (InvalidToken, Unavailable) as refused:
            return str(refused.reason)
        return "accept"

    def fly(self, fetch: Fetch) -> Answer | None:
        steps = fetch.steps(self.tick)
        answer: Answer | None = None
        try:
            request = next(steps)
            while True:
                self.requests.append(request)
                self.tick += self.takes
                request = steps.send(self.reply(request))
        except StopIteration as end:
            answer = end.value
        fetch.landed()
        return answer

    def run(self, fetch: Fetch) -> None:
        self.fly(fetch)

    def reply(self, request: Request) -> Answer:
        if request.form is None:
            return self.answer(request.url)
        told = self.tells.get(request.url, 404)
        self.replies[request.url] = told(form(request)["token"]) if callable(told) else told
        return replace(self.answer(request.url), at=self.tick)


def form(request: Request) -> dict[str, str]:
    assert request.form is not None
    members = parse_qs(request.form.decode("ascii"), strict_parsing=True)
    assert all(len(values) == 1 for values in members.values())
    return {name: values[0] for name, values in members.items()}


def answer(status: int, body: object = None, **headers: str) -> Answer:
    """An HTTP answer with a JSON body."""
    octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(at=0.0, status=status, body=octets, headers=named)


class Clock:
    """Both clocks of a validator."""

    def __init__(self) -> None:
        self.tick = 0.0

    def now(self) -> float:
        return NOW + self.tick

    def monotonic(self) -> float:
        return self.tick


class Server:
    """Answers over a transport of httpx, on whatever thread asks."""

    def __init__(self, tell: Callable[[str], Mapping[str, object] | httpx.Response]) -> None:
        self.asked: list[str] = []
        self.requests: list[httpx.Request] = []
        self.tell = tell

    def respond(self, request: httpx.Request) -> httpx.Response:
        (token,) = parse_qs(request.content.decode("ascii"))["token"]
        self.requests.append(request)
        self.asked.append(token)
        told = self.tell(token)
        return told if isinstance(told, httpx.Response) else httpx.Response(200, json=told)

    def validator(
        self,
        *issuers: Issuer | TenantIssuers,
        on_event: Callable[[Event], None] | None = None,
        clock: Clock | None = None,
        audience: str = AUDIENCE,
        **options: Any,
    ) -> TokenValidator:
        clock = clock or Clock()
        return TokenValidator(
            *(issuers or (issuer(),)),
            audience=audience,
            http_client=httpx.Client(transport=httpx.MockTransport(self.respond)),
            clock=clock.now,
            monotonic=clock.monotonic,
            on_event=on_event,
            **options,
        )


REASONS = frozenset(Reason)
