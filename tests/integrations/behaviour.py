"""What every adapter answers, as data: the *Answers* table of the design, request by request.

Whoever tests an adapter builds the two applications described by `ROUTES`, `PUBLIC` and `make_validator`, sends each of
`CASES`, and hands what came back to `check`. Nothing here knows a framework. Expected answers are written out: a table
that asked the library for them would agree with any mistake.

Each route of `ROUTES` answers all methods with 200, and as its body the token's subject, or `anonymous`, followed by
the request's body; nothing to HEAD. The application `required` is guarded as a whole, with `PUBLIC` left out; in
`optional`, an absent token passes and the routes ask.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Never

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokenguard import (
    AccessDenied,
    AccessToken,
    InsufficientAuthentication,
    Issuer,
    Reason,
    RequestRefused,
    TokenValidator,
    errors,
)

# Tokens: from fixed keys at a fixed time, so that every run sends the same bytes.

ISSUER = "https://as.example.com"
SILENT_ISSUER = "https://silent.example.com"  # trusted too, and never in reach
AUDIENCE = "https://api.example.com"
NOW = 1_800_000_000
LEEWAY = 30
LIFETIME = 300

_key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_attackers_key = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
_public = _key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


JWKS = {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": _base64url(_public)}]}


def mint(
    *,
    sign: Callable[[bytes], bytes] = _key.sign,
    header: Mapping[str, object] | None = None,
    **claims: object,
) -> str:
    """A token of `ISSUER`; `header` and `claims` are merged over those of a good one."""
    names = {"alg": "EdDSA", "typ": "at+jwt", "kid": "one", **(header or {})}
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "exp": NOW + LIFETIME, "iat": NOW, **claims}
    signed = ".".join(_base64url(json.dumps(part).encode("ascii")) for part in (names, body))
    return f"{signed}.{_base64url(sign(signed.encode('ascii')))}"


GOOD = mint(scope="read:users")
READ_WRITE = mint(scope="write:users read:users", sub="user-2")
ADMIN = mint(scope="admin", sub="admin-1")
UNSCOPED = mint()
JUST_EXPIRED = mint(exp=NOW - LEEWAY + 1)  # within the leeway
EXPIRED = mint(exp=NOW - LEEWAY)
FORGED = mint(sign=_attackers_key.sign)
EMBEDDED_KEY = mint(
    sign=_attackers_key.sign,
    header={"jwk": {"kty": "OKP", "crv": "Ed25519", "x": _base64url(_attackers_key.public_key().public_bytes_raw())}},
)
UNSIGNED = mint(sign=lambda _: b"", header={"alg": "none"})
CONFUSED = mint(sign=lambda signed: hmac.digest(_public, signed, "sha256"), header={"alg": "HS256"})
ELSEWHERE = mint(aud="https://other.example.com")
STRANGER = mint(iss="https://evil.example.com")
BOUND = mint(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
SUSPENDED = mint(scope="read:users", org="suspended")
UNDECIDABLE = mint(iss=SILENT_ISSUER)

TOKENS = (
    *(GOOD, READ_WRITE, ADMIN, UNSCOPED, JUST_EXPIRED, EXPIRED, FORGED, EMBEDDED_KEY, UNSIGNED, CONFUSED, ELSEWHERE),
    *(STRANGER, BOUND, SUSPENDED, UNDECIDABLE),
)


class _Silence:
    """An HTTP client whose every request fails."""

    def build_request(self, method: str, url: str, *, headers: Any = None, timeout: Any = None, **_: Any) -> str:
        return url

    def send(self, request: str, *, stream: bool = False, follow_redirects: bool = False) -> Never:
        raise OSError("out of reach")

    def close(self) -> None: ...


def not_suspended(token: AccessToken) -> None:
    if token.claims.get("org") == "suspended":
        raise AccessDenied(detail="organisation 7 is suspended")


def make_validator(*, clock: Callable[[], float] = lambda: NOW) -> TokenValidator:
    """The validator of both applications. Its monotonic clock stands still, and so does Retry-After."""
    return TokenValidator(
        Issuer(ISSUER, jwks=JWKS, algorithms=("EdDSA",), leeway=LEEWAY),
        Issuer(SILENT_ISSUER, jwks_uri=f"{SILENT_ISSUER}/jwks"),
        audience=AUDIENCE,
        checks=(not_suspended,),
        http_client=_Silence(),
        clock=clock,
        monotonic=lambda: 0.0,
    )


# The applications.


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint: what it asks of a token (nothing, any token, scopes), and what its handler then raises."""

    asks: Literal["nothing", "token", "scopes"] = "token"
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    raises: Callable[[], RequestRefused] | None = None


ROUTES: Mapping[str, Route] = {
    "/any": Route(),
    "/open": Route(asks="nothing"),
    "/read": Route(asks="scopes", all_of=("read:users",)),
    "/both": Route(asks="scopes", all_of=("read:users", "write:users")),
    "/either": Route(asks="scopes", any_of=("admin", "read:users")),
    "/mixed": Route(asks="scopes", all_of=("read:users",), any_of=("admin", "write:users")),
    "/denied": Route(raises=lambda: AccessDenied(detail="organisation 7 is suspended")),
    "/step-up": Route(raises=lambda: InsufficientAuthentication(acr_values=("urn:example:gold", "mfa"), max_age=300)),
    "/health": Route(asks="nothing"),
    "/static/logo.svg": Route(asks="nothing"),
}
PUBLIC = ("/health", "/static/*")


# What is answered.


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An answer. `headers` holds all that matters of them but WWW-Authenticate, which is `challenge`, exactly."""

    status: int
    challenge: str | None = None
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


REFUSAL_HEADERS = {"Cache-Control": "no-store", "Content-Type": "application/json"}


def _refused(status: int, challenge: str | None, body: bytes, **more: str) -> Expected:
    headers = {**REFUSAL_HEADERS, **{name.replace("_", "-"): value for name, value in more.items()}}
    return Expected(status=status, challenge=challenge, body=body, headers=headers)


def _passed(body: bytes) -> Expected:
    return Expected(status=200, body=body)


_BARE = 'Bearer realm="https://api.example.com"'
_TOO_LITTLE = "The request requires higher privileges than provided by the access token"
_FORBIDDEN = f'{_BARE}, error="insufficient_scope", error_description="{_TOO_LITTLE}"'
_FORBIDDEN_BODY = f'{{"error": "insufficient_scope", "error_description": "{_TOO_LITTLE}"}}'.encode()

USER_1, USER_2, ADMIN_1, ANONYMOUS = (_passed(name) for name in (b"user-1", b"user-2", b"admin-1", b"anonymous"))
ABSENT = _refused(401, _BARE, b"{}")  # C5, C6
MALFORMED = _refused(
    400,
    f'{_BARE}, error="invalid_request", error_description="The Authorization header is malformed"',
    b'{"error": "invalid_request", "error_description": "The Authorization header is malformed"}',
)
INVALID = _refused(
    401,
    f'{_BARE}, error="invalid_token", error_description="The access token is invalid"',
    b'{"error": "invalid_token", "error_description": "The access token is invalid"}',
)
EXPIRED_TOKEN = _refused(
    401,
    f'{_BARE}, error="invalid_token", error_description="The access token expired"',
    b'{"error": "invalid_token", "error_description": "The access token expired"}',
)
DENIED = _refused(403, _FORBIDDEN, _FORBIDDEN_BODY)
STEP_UP = _refused(
    401,
    f'{_BARE}, error="insufficient_user_authentication", '
    'error_description="A different authentication level is required", '
    'acr_values="urn:example:gold mfa", max_age="300"',
    b'{"error": "insufficient_user_authentication", '
    b'"error_description": "A different authentication level is required"}',
)
UNAVAILABLE = _refused(503, None, b'{"error": "temporarily_unavailable"}', Retry_After="1")


def _absent_where(scope: str) -> Expected:
    return _refused(401, f'{_BARE}, scope="{scope}"', b"{}")


def _lacking(scope: str) -> Expected:
    return _refused(403, f'{_FORBIDDEN}, scope="{scope}"', _FORBIDDEN_BODY)


# What is asked.

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request, byte for byte, and its answer.

    `path` is the request target, as it is sent. `rejected_by` names HTTP parsers that never hand such a request to an
    application; they answer 400 of their own.
    """

    name: str
    headers: tuple[Header, ...] = ()
    method: str = "GET"
    path: str = "/any"
    body: bytes = b""
    application: Literal["required", "optional"] = "required"
    expected: Expected
    rejected_by: frozenset[str] = frozenset()

    @property
    def answer(self) -> bytes:
        return b"" if self.method == "HEAD" else self.expected.body


def _authorization(*values: bytes) -> tuple[Header, ...]:
    return tuple((b"Authorization", value) for value in values)


def bearer(token: str, scheme: str = "Bearer") -> tuple[Header, ...]:
    return _authorization(f"{scheme} {token}".encode("ascii"))


_EVERY_PARSER = frozenset({"h11", "httptools"})
_FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
_good = GOOD.encode("ascii")
_expired = EXPIRED.encode("ascii")
_form_body = b"access_token=" + _good

CASES = (
    # C1, T02: the scheme in any case, one or more spaces, white space around
    Case(name="good", headers=bearer(GOOD), expected=USER_1),
    Case(name="scheme in lower case", headers=bearer(GOOD, "bearer"), expected=USER_1),
    Case(name="scheme in upper case", headers=bearer(GOOD, "BEARER"), expected=USER_1),
    Case(name="scheme in mixed case", headers=bearer(GOOD, "BeArEr"), expected=USER_1),
    Case(name="header name in lower case", headers=((b"authorization", b"Bearer " + _good),), expected=USER_1),
    Case(name="header name in upper case", headers=((b"AUTHORIZATION", b"Bearer " + _good),), expected=USER_1),
    Case(name="two spaces after the scheme", headers=_authorization(b"Bearer  " + _good), expected=USER_1),
    Case(
        name="white space around the value", headers=_authorization(b" \t Bearer " + _good + b" \t "), expected=USER_1
    ),
    Case(name="just expired, within the leeway", headers=bearer(JUST_EXPIRED), expected=USER_1),
    Case(name="no scopes where none are asked for", headers=bearer(UNSCOPED), expected=USER_1),
    # C5, C6, T01, T03: no credentials, or none for us
    Case(name="no Authorization", expected=ABSENT),
    Case(name="empty Authorization", headers=_authorization(b""), expected=ABSENT),
    Case(name="Basic", headers=_authorization(b"Basic dXNlcjpwYXNzd29yZA=="), expected=ABSENT),
    Case(name="Digest", headers=_authorization(b'Digest username="user", nonce="dcd98b7102dd"'), expected=ABSENT),
    Case(name="Token", headers=bearer(GOOD, "Token"), expected=ABSENT),
    Case(name="JWT", headers=bearer(GOOD, "JWT"), expected=ABSENT),
    Case(name="DPoP", headers=bearer(GOOD, "DPoP"), expected=ABSENT),
    Case(name="token without a scheme", headers=_authorization(_good), expected=ABSENT),
    Case(name="scheme that begins like Bearer", headers=_authorization(b"Bearer" + _good), expected=ABSENT),
    Case(name="Bearertoken", headers=_authorization(b"Bearertoken"), expected=ABSENT),
    Case(name="Bearer-like scheme", headers=_authorization(b"Bearer-MAC " + _good), expected=ABSENT),
    Case(name="scheme with a letter beyond ASCII", headers=_authorization(b"B\xc3\xa9arer " + _good), expected=ABSENT),
    Case(name="all of it in quotes", headers=_authorization(b'"Bearer ' + _good + b'"'), expected=ABSENT),
    # C4, T04, T05, F09, F35: it means to be a bearer token, and is not exactly one
    Case(name="Bearer alone", headers=_authorization(b"Bearer"), expected=MALFORMED),
    Case(name="Bearer and a space", headers=_authorization(b"Bearer "), expected=MALFORMED),
    Case(name="tab after the scheme", headers=_authorization(b"Bearer\t" + _good), expected=MALFORMED),
    Case(name="space and tab after the scheme", headers=_authorization(b"Bearer \t" + _good), expected=MALFORMED),
    Case(name="Bearer a b", headers=_authorization(b"Bearer a b"), expected=MALFORMED),
    Case(name="Bearer a,b", headers=_authorization(b"Bearer a,b"), expected=MALFORMED),
    Case(name="good token and another word", headers=_authorization(b"Bearer " + _good + b" x"), expected=MALFORMED),
    Case(name="colon after the scheme", headers=_authorization(b"Bearer: " + _good), expected=MALFORMED),
    Case(name="equals sign after the scheme", headers=_authorization(b"Bearer=" + _good), expected=MALFORMED),
    Case(name="scheme twice", headers=_authorization(b"Bearer Bearer " + _good), expected=MALFORMED),
    Case(name="token in quotes", headers=_authorization(b'Bearer "' + _good + b'"'), expected=MALFORMED),
    Case(name="semicolon behind the token", headers=_authorization(b"Bearer " + _good + b";"), expected=MALFORMED),
    Case(name="comma behind the token", headers=_authorization(b"Bearer " + _good + b","), expected=MALFORMED),
    Case(
        name="dots written as %2E",
        headers=_authorization(b"Bearer " + _good.replace(b".", b"%2E")),
        expected=MALFORMED,
    ),
    Case(name="token as a parameter", headers=_authorization(b'Bearer token="' + _good + b'"'), expected=MALFORMED),
    Case(name="byte beyond ASCII in it", headers=_authorization(b"Bearer " + _good + b"\xff"), expected=MALFORMED),
    Case(name="no-break space behind the scheme", headers=_authorization(b"Bearer\xa0" + _good), expected=MALFORMED),
    Case(name="no-break space behind it", headers=_authorization(b"Bearer " + _good + b"\xc2\xa0"), expected=MALFORMED),
    Case(
        name="NUL behind it",
        headers=_authorization(b"Bearer " + _good + b"\x00"),
        expected=MALFORMED,
        rejected_by=_EVERY_PARSER,
    ),
    Case(
        name="carriage return behind it",
        headers=_authorization(b"Bearer " + _good + b"\rX: y"),
        expected=MALFORMED,
        rejected_by=_EVERY_PARSER,
    ),
    Case(
        name="vertical tab behind it",
        headers=_authorization(b"Bearer " + _good + b"\x0b"),
        expected=MALFORMED,
        rejected_by=_EVERY_PARSER,
    ),
    # T06: never "first wins", nor the last
    Case(name="two headers, good and good", headers=bearer(GOOD) + bearer(GOOD), expected=MALFORMED),
    Case(name="two headers, good and bad", headers=bearer(GOOD) + bearer(FORGED), expected=MALFORMED),
    Case(name="two headers, bad and good", headers=bearer(FORGED) + bearer(GOOD), expected=MALFORMED),
    Case(name="two headers, good and empty", headers=bearer(GOOD) + _authorization(b""), expected=MALFORMED),
    Case(name="two headers, empty and good", headers=_authorization(b"") + bearer(GOOD), expected=MALFORMED),
    Case(
        name="two headers, Basic and Bearer",
        headers=_authorization(b"Basic dXNlcjpwYXNzd29yZA==") + bearer(GOOD),
        expected=MALFORMED,
    ),
    Case(
        name="two headers, Bearer and Basic",
        headers=bearer(GOOD) + _authorization(b"Basic dXNlcjpwYXNzd29yZA=="),
        expected=MALFORMED,
    ),
    Case(
        name="two headers, spelt differently",
        headers=((b"Authorization", b"Bearer " + _good), (b"AUTHORIZATION", b"bearer " + _expired)),
        expected=MALFORMED,
    ),
    Case(
        name="two tokens joined with a comma",
        headers=_authorization(b"Bearer " + _good + b", Bearer " + _good),
        expected=MALFORMED,
    ),
    Case(
        name="Basic and Bearer joined with a comma",
        headers=_authorization(b"Basic dXNlcjpwYXNzd29yZA==, Bearer " + _good),
        expected=MALFORMED,
    ),
    Case(
        name="Basic and Bearer joined with a comma alone",
        headers=_authorization(b"Basic dXNlcjpwYXNzd29yZA==,bearer " + _good),
        expected=MALFORMED,
    ),
    # C7: judged, and refused
    Case(name="expired", headers=bearer(EXPIRED), expected=EXPIRED_TOKEN),
    Case(name="signed by somebody else", headers=bearer(FORGED), expected=INVALID),
    Case(name="key embedded in the header", headers=bearer(EMBEDDED_KEY), expected=INVALID),
    Case(name="alg none", headers=bearer(UNSIGNED), expected=INVALID),
    Case(name="HS256 with the public key", headers=bearer(CONFUSED), expected=INVALID),
    Case(name="for another API", headers=bearer(ELSEWHERE), expected=INVALID),
    Case(name="of an unknown issuer", headers=bearer(STRANGER), expected=INVALID),
    Case(name="bound to a key", headers=bearer(BOUND), expected=INVALID),
    Case(name="opaque", headers=bearer("2YotnFZFEjr1zCsicMWpAA"), expected=INVALID),
    Case(name="one letter", headers=bearer("a"), expected=INVALID),
    Case(name="padded", headers=bearer(GOOD + "=="), expected=INVALID),
    Case(name="20 KB", headers=bearer("a" * 20_000), expected=INVALID),
    Case(name="20 KB that are no token", headers=bearer("a b " * 5_000), expected=INVALID),  # looked at no further
    Case(name="20 KB after a scheme of no concern", headers=bearer("a" * 20_000, "Basic"), expected=ABSENT),
    # C10: good, and not enough
    Case(name="scope there", path="/read", headers=bearer(GOOD), expected=USER_1),
    Case(name="scope missing", path="/read", headers=bearer(UNSCOPED), expected=_lacking("read:users")),
    Case(name="both scopes there", path="/both", headers=bearer(READ_WRITE), expected=USER_2),
    Case(name="one of two missing", path="/both", headers=bearer(GOOD), expected=_lacking("read:users write:users")),
    Case(name="one of several there", path="/either", headers=bearer(GOOD), expected=USER_1),
    Case(name="another of several there", path="/either", headers=bearer(ADMIN), expected=ADMIN_1),
    Case(
        name="none of several there",
        path="/either",
        headers=bearer(UNSCOPED),
        expected=_lacking("admin read:users"),
    ),
    Case(
        name="all of one, none of the other",
        path="/mixed",
        headers=bearer(GOOD),
        expected=_lacking("read:users admin write:users"),
    ),
    Case(name="a check refuses", headers=bearer(SUSPENDED), expected=DENIED),
    Case(name="the handler refuses", path="/denied", headers=bearer(GOOD), expected=DENIED),
    Case(name="the handler wants a better login", path="/step-up", headers=bearer(GOOD), expected=STEP_UP),  # C51
    # "Cannot decide" is not "rejected"
    Case(name="keys out of reach", headers=bearer(UNDECIDABLE), expected=UNAVAILABLE),
    # C2, T10, T11: a token stands in the header or nowhere
    Case(name="token in the query", path=f"/any?access_token={GOOD}", expected=ABSENT),
    Case(name="token in the query too", path=f"/any?access_token={FORGED}", headers=bearer(GOOD), expected=USER_1),
    Case(name="token in a form", method="POST", headers=(_FORM,), body=_form_body, expected=ABSENT),
    Case(
        name="token in a form too: the application reads it",
        method="POST",
        headers=(*bearer(GOOD), _FORM),
        body=b"access_token=other",
        expected=_passed(b"user-1access_token=other"),
    ),
    Case(name="token in a cookie", headers=((b"Cookie", b"access_token=" + _good),), expected=ABSENT),
    Case(name="in Proxy-Authorization", headers=((b"Proxy-Authorization", b"Bearer " + _good),), expected=ABSENT),
    Case(name="underscore behind the name", headers=((b"authorization_", b"Bearer " + _good),), expected=ABSENT),
    Case(name="name as CGI has it", headers=((b"HTTP_AUTHORIZATION", b"Bearer " + _good),), expected=ABSENT),
    Case(
        name="underscore behind the name, beside the real one",
        headers=((b"authorization_", b"Bearer " + _good), *bearer(FORGED)),
        expected=INVALID,
    ),
    Case(
        name="good, beside an underscore header",
        headers=(*bearer(GOOD), (b"authorization_", b"Bearer x y")),
        expected=USER_1,
    ),
    Case(
        name="space before the colon",
        headers=((b"Authorization ", b"Bearer " + _good),),
        expected=ABSENT,
        rejected_by=_EVERY_PARSER,
    ),
    # T20: no method is a way around, nor what claims to be one
    Case(name="HEAD, good", method="HEAD", headers=bearer(GOOD), expected=USER_1),
    Case(name="HEAD without a token", method="HEAD", expected=ABSENT),
    Case(name="HEAD, malformed", method="HEAD", headers=_authorization(b"Bearer"), expected=MALFORMED),
    Case(name="HEAD, expired", method="HEAD", headers=bearer(EXPIRED), expected=EXPIRED_TOKEN),
    Case(name="HEAD, keys out of reach", method="HEAD", headers=bearer(UNDECIDABLE), expected=UNAVAILABLE),
    Case(
        name="HEAD, scope missing",
        method="HEAD",
        path="/read",
        headers=bearer(UNSCOPED),
        expected=_lacking("read:users"),
    ),
    Case(name="OPTIONS without a token", method="OPTIONS", expected=ABSENT),
    Case(name="OPTIONS, good", method="OPTIONS", headers=bearer(GOOD), expected=USER_1),
    Case(
        name="CORS preflight",
        method="OPTIONS",
        headers=((b"Origin", b"https://app.example.com"), (b"Access-Control-Request-Method", b"GET")),
        expected=ABSENT,
    ),
    Case(name="DELETE without a token", method="DELETE", expected=ABSENT),
    Case(name="method of nobody's", method="BREW", expected=ABSENT, rejected_by=frozenset({"httptools"})),
    *(
        Case(name=f"{name} without a token", method="POST", headers=((name.encode("ascii"), value),), expected=ABSENT)
        for name, value in (
            ("X-HTTP-Method-Override", b"OPTIONS"),
            ("X-HTTP-Method", b"HEAD"),
            ("X-Method-Override", b"GET"),
            ("X-Original-URL", b"/health"),
            ("X-Rewrite-URL", b"/health"),
            ("X-Forwarded-Prefix", b"/static"),
        )
    ),
    # Public paths, and whatever resembles one
    Case(name="public path", path="/health", expected=ANONYMOUS),
    Case(name="public path with a query", path="/health?verbose=1", expected=ANONYMOUS),
    Case(name="public path, where no token is looked at", path="/health", headers=bearer(FORGED), expected=ANONYMOUS),
    Case(name="public subtree", path="/static/logo.svg", expected=ANONYMOUS),
    Case(name="public path with a harmless escape", path="/he%61lth", expected=ANONYMOUS),
    *(
        Case(name=f"not public: {path}", path=path, expected=ABSENT)
        for path in (
            "/health/",
            "/Health",
            "/health;x=y",
            "/health%2f",
            "/health%00",
            "//health",
            "/./health",
            "/static",
            "/static/../any",
            "/static/%2e%2e/any",
            "/static/..%2fany",
            "/static/..%5cany",
            "/static/..;/any",
            "/static/%252e%252e/any",
            "/static/..%252fany",
            "/static//any",
            "/any?/health",
            "/any;/static/logo.svg",
        )
    ),
    # Where an absent token passes, and a present and bad one does not
    Case(name="optional: absent", application="optional", path="/open", expected=ANONYMOUS),
    Case(name="optional: good", application="optional", path="/open", headers=bearer(GOOD), expected=USER_1),
    Case(
        name="optional: Basic",
        application="optional",
        path="/open",
        headers=_authorization(b"Basic dXNlcjpwYXNzd29yZA=="),
        expected=ANONYMOUS,
    ),
    Case(
        name="optional: expired",
        application="optional",
        path="/open",
        headers=bearer(EXPIRED),
        expected=EXPIRED_TOKEN,
    ),
    Case(name="optional: forged", application="optional", path="/open", headers=bearer(FORGED), expected=INVALID),
    Case(
        name="optional: malformed",
        application="optional",
        path="/open",
        headers=_authorization(b"Bearer"),
        expected=MALFORMED,
    ),
    Case(
        name="optional: two headers",
        application="optional",
        path="/open",
        headers=bearer(GOOD) + bearer(GOOD),
        expected=MALFORMED,
    ),
    Case(
        name="optional: keys out of reach",
        application="optional",
        path="/open",
        headers=bearer(UNDECIDABLE),
        expected=UNAVAILABLE,
    ),
    Case(name="optional: absent, and the route asks for a token", application="optional", expected=ABSENT),
    Case(
        name="optional: absent, and the route asks for scopes",  # C66
        application="optional",
        path="/both",
        expected=_absent_where("read:users write:users"),
    ),
    Case(
        name="optional: absent, and the route asks for one of several scopes",
        application="optional",
        path="/either",
        expected=_absent_where("admin read:users"),
    ),
    Case(
        name="optional: scope missing",
        application="optional",
        path="/read",
        headers=bearer(UNSCOPED),
        expected=_lacking("read:users"),
    ),
)

REFUSED = tuple(case for case in CASES if case.expected.status != 200)


# Whether an answer is the expected one.


def check(case: Case, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    """Compare an adapter's answer with the table, and look for what no refusal may give away."""
    sent: dict[str, list[str]] = {}
    for name, value in headers:
        sent.setdefault(name.decode("ascii").lower(), []).append(value.decode("ascii"))
    expected = {name: [value] for name, value in case.expected.headers.items()}
    found = {name: sent.get(name.lower(), []) for name in case.expected.headers}
    challenge = [] if case.expected.challenge is None else [case.expected.challenge]
    assert (status, sent.get("www-authenticate", []), body, found) == (
        case.expected.status,
        challenge,
        case.answer,
        expected,
    )
    assert ("retry-after" in sent) == (status == 503)
    if case.method != "HEAD":
        assert sent.get("content-length", []) == [str(len(body))]
    if status != 200:
        text = "\n".join([*(f"{name}: {value}" for name, values in sent.items() for value in values), body.decode()])
        assert leaks(text, case) == []


_TELLTALE = re.compile(
    # An exception's class, a traceback, a file, a library: each tells an attacker what to look up (E04).
    r"\w+(?:Error|Exception|Warning|Interrupt)\b|Traceback|line \d+|\.py\b|[\\/](?:usr|home|src|lib|tmp|opt|etc|var)\b"
    r"|site-packages|tokenguard|starlette|uvicorn|jwt|cryptography|httpx|asyncio|python|organisation 7",
    re.IGNORECASE,
)
_OUR_OWN = re.compile("|".join(name for name in dir(errors) if name[0].isupper()))
# A Reason is for the operator, unless it is RFC 6750's word as well or one of plain English.
_SAID = {Reason.INSUFFICIENT_SCOPE, Reason.EXPIRED, Reason.MALFORMED}
_REASONS = re.compile("|".join(rf"\b{reason}\b" for reason in Reason if reason not in _SAID))
_CREDENTIALS = re.compile(rb"[A-Za-z0-9._~+/-]{8,}")


def leaks(text: str, *cases: Case) -> list[str]:
    """What in a text gives away a token (E03, L01: 8 characters are too many) or our insides (E04)."""
    found = fragments(text, *cases)
    for telltale in (_TELLTALE, _OUR_OWN, _REASONS):
        found += [match[0] for match in telltale.finditer(text)]
    return found


def fragments(text: str, *cases: Case) -> list[str]:
    """The runs of 8 characters in a text that stand in one of our tokens, or in what one of the cases sent as one."""
    sent = [value for case in cases for name, value in case.headers if name.strip().lower() == b"authorization"]
    known = _OF_TOKENS.union(*(_eights(run.decode()) for value in sent for run in _CREDENTIALS.findall(value)))
    return sorted(known & _eights(text))


def _eights(text: str) -> set[str]:
    return {text[at : at + 8] for at in range(len(text) - 7)}


_OF_TOKENS = frozenset[str]().union(*map(_eights, TOKENS))
