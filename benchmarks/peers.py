"""Ways to check a token: the contestants' common shape, and other Python libraries, each as its documentation shows.

All are asked for the same: signature, allowed algorithm, issuer, audience, expiry. All have their keys, and as key
objects where their interface knows such a thing, before the clock starts.
"""

from __future__ import annotations

import asyncio
import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from tokenguard.testing import LocalIssuer

from .measuring import Timed
from .tokens import ALGORITHMS, AUDIENCE, ISSUER

Check = Callable[[str], object]
AsyncCheck = Callable[[str], Awaitable[object]]


class Unsound(Exception):
    """A contestant judged a token wrongly: its time is that of another job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What to do in one round.

    Attributes:
        tokens: all good, or all bad.
        good: which of both.
        known: each was checked before, by the same validator.
        passes: how often to go through them, where once is too short to be measured.
    """

    tokens: Sequence[str]
    good: bool = True
    known: bool = False
    passes: int = 1

    @property
    def count(self) -> int:
        return len(self.tokens) * self.passes


class Way(ABC):
    """A way to check tokens of one algorithm.

    Attributes:
        name: as in the tables.
        remembers: a token that it checked before costs it less.
    """

    def __init__(self, name: str, *, remembers: bool = False) -> None:
        self.name = name
        self.remembers = remembers

    @abstractmethod
    def accepts(self, token: str) -> bool: ...

    @abstractmethod
    def run(self, batch: Batch) -> Timed:
        """With a validator that has its keys and none of the tokens, unless they are to be known.

        Raises:
            Unsound: a bad token was accepted. (What refuses a good one raises its own error.)
        """

    def require_sound(self, good: Sequence[str], bad: Sequence[str]) -> None:
        """Before anything is timed: it does the job.

        Raises:
            Unsound: it accepts one of `bad`, or refuses one of `good`.
        """
        for tokens, verdict in ((good, True), (bad, False)):
            for index, token in enumerate(tokens):
                if self.accepts(token) is not verdict:
                    kind = "refuses good" if verdict else "accepts bad"
                    raise Unsound(f"{self.name} {kind} token {index + 1} of {len(tokens)}")

    def require_verdicts(self, accepted: int, batch: Batch) -> None:
        """What was timed was right, too."""
        if accepted != (batch.count if batch.good else 0):
            kind = "good" if batch.good else "bad"
            raise Unsound(f"{self.name} accepts {accepted} of {batch.count} {kind} tokens")


class SyncWay(Way):
    """A plain function, `check`, that raises for a bad token. `clock` says how long it took, in seconds."""

    def __init__(
        self,
        name: str,
        fresh: Callable[[], Check],
        *,
        remembers: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(name, remembers=remembers)
        self._fresh = fresh
        self._clock = clock

    def accepts(self, token: str) -> bool:
        try:
            self._fresh()(token)
        except Exception:  # noqa: BLE001  (each library has its own kinds; what accepts good tokens is used correctly)
            return False
        return True

    def run(self, batch: Batch) -> Timed:
        check = self._fresh()
        if batch.known:
            for token in batch.tokens:
                check(token)
        if not batch.good:
            return self._refuse(check, batch)
        began = self._clock()
        for _ in range(batch.passes):
            for token in batch.tokens:
                check(token)
        return Timed(batch.count, self._clock() - began)

    def _refuse(self, check: Check, batch: Batch) -> Timed:
        accepted = 0
        began = self._clock()
        for token in batch.tokens:
            try:
                check(token)
                accepted += 1
            except Exception:  # noqa: BLE001  (this is what is measured)
                pass
        seconds = self._clock() - began
        self.require_verdicts(accepted, batch)
        return Timed(batch.count, seconds)


class AsyncWay(Way):
    """The same with a coroutine function; the event loop is running when the clock starts."""

    def __init__(
        self, name: str, fresh: Callable[[], AsyncCheck], runner: asyncio.Runner, *, remembers: bool = False
    ) -> None:
        super().__init__(name, remembers=remembers)
        self._fresh = fresh
        self._runner = runner

    def accepts(self, token: str) -> bool:
        async def judge() -> None:
            await self._fresh()(token)

        try:
            self._runner.run(judge())
        except Exception:  # noqa: BLE001  (as above)
            return False
        return True

    def run(self, batch: Batch) -> Timed:
        return self._runner.run(self._accept(batch) if batch.good else self._refuse(batch))

    async def _accept(self, batch: Batch) -> Timed:
        check = self._fresh()
        if batch.known:
            for token in batch.tokens:
                await check(token)
        began = perf_counter()
        for _ in range(batch.passes):
            for token in batch.tokens:
                await check(token)
        return Timed(batch.count, perf_counter() - began)

    async def _refuse(self, batch: Batch) -> Timed:
        check = self._fresh()
        accepted = 0
        began = perf_counter()
        for token in batch.tokens:
            try:
                await check(token)
                accepted += 1
            except Exception:  # noqa: BLE001  (this is what is measured)
                pass
        seconds = perf_counter() - began
        self.require_verdicts(accepted, batch)
        return Timed(batch.count, seconds)


# Each takes the issuer whose keys are used, and the algorithm. It imports its library, which may be missing.


def pyjwt_decode(keys: LocalIssuer, alg: str) -> Check:
    import jwt

    key = jwt.PyJWK(_jwk(keys, alg))

    def check(token: str) -> object:
        return jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER)

    return check


def _pyjwk_client(keys: LocalIssuer, alg: str) -> Check:
    import jwt

    client = jwt.PyJWKClient(keys.jwks_uri, lifespan=86400)  # fetched once, before the clock starts
    client.get_jwk_set()

    def check(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER)

    return check


def _joserfc(keys: LocalIssuer, alg: str) -> Check:
    from joserfc import jwt
    from joserfc.errors import SecurityWarning
    from joserfc.jwk import KeySet

    warnings.simplefilter("ignore", SecurityWarning)  # RFC 9864 deprecates the name EdDSA; we mean it
    key_set = KeySet.import_key_set(keys.jwks())  # type: ignore[arg-type]  # a dict like any other
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def check(token: str) -> object:
        decoded = jwt.decode(token, key_set, algorithms=[alg])
        registry.validate(decoded.claims)
        return decoded.claims

    return check


def _authlib(keys: LocalIssuer, alg: str) -> Check:
    _silence_authlib()
    from authlib.jose import JsonWebKey, JsonWebToken

    key_set = JsonWebKey.import_key_set(keys.jwks())
    tokens = JsonWebToken([alg])
    options = {
        "iss": {"essential": True, "value": ISSUER},
        "aud": {"essential": True, "value": AUDIENCE},
        "exp": {"essential": True},
    }

    def check(token: str) -> object:
        claims = tokens.decode(token, key_set, claims_options=options)
        claims.validate()
        return claims

    return check


def _python_jose(keys: LocalIssuer, alg: str) -> Check:
    from jose import jwk, jwt

    key = jwk.construct(_jwk(keys, alg))

    def check(token: str) -> object:
        return jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER)

    return check


def _jwcrypto(keys: LocalIssuer, alg: str) -> Check:
    import json

    from jwcrypto import jwk, jwt

    key_set = jwk.JWKSet.from_json(json.dumps(keys.jwks()))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": None}

    def check(token: str) -> object:
        return json.loads(jwt.JWT(jwt=token, key=key_set, algs=[alg], check_claims=claims).claims)

    return check


def _auth0(keys: LocalIssuer, _: str) -> AsyncCheck:
    _silence_authlib()
    from auth0_api_python import ApiClient, ApiClientOptions

    jwks = keys.jwks()
    jwks_uri = f"{ISSUER}/jwks"

    async def fetch(url: str) -> dict[str, Any]:
        return jwks if url == jwks_uri else {"issuer": ISSUER, "jwks_uri": jwks_uri}

    options = ApiClientOptions(domain=ISSUER.removeprefix("https://"), audience=AUDIENCE, custom_fetch=fetch)
    check: AsyncCheck = ApiClient(options).verify_access_token
    return check


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another Python library.

    Attributes:
        name: as in the tables.
        package: as pip knows it.
        build: makes its check; raises ImportError where it is missing.
        algorithms: that it can check.
        asynchronous: its check is a coroutine function.
    """

    name: str
    package: str
    build: Callable[[LocalIssuer, str], Any]
    algorithms: tuple[str, ...] = ALGORITHMS
    asynchronous: bool = False

    def way(self, keys: LocalIssuer, alg: str, runner: asyncio.Runner) -> Way:
        check = self.build(keys, alg)
        if self.asynchronous:
            return AsyncWay(self.name, lambda: check, runner)
        return SyncWay(self.name, lambda: check)


PEERS = (
    Peer(name="PyJWT decode", package="pyjwt", build=pyjwt_decode),
    Peer(name="PyJWT with PyJWKClient", package="pyjwt", build=_pyjwk_client),
    Peer(name="joserfc", package="joserfc", build=_joserfc),
    Peer(name="Authlib (authlib.jose)", package="authlib", build=_authlib),
    Peer(name="python-jose", package="python-jose[cryptography]", build=_python_jose, algorithms=("RS256", "ES256")),
    Peer(name="jwcrypto", package="jwcrypto", build=_jwcrypto),
    Peer(name="auth0-api-python", package="auth0-api-python", build=_auth0, algorithms=("RS256",), asynchronous=True),
)


def installed(keys: LocalIssuer) -> Iterator[Peer]:
    """The peers that are there; of the others, a line that says how to get them."""
    for peer in PEERS:
        try:
            peer.build(keys, "RS256")
        except ImportError:
            print(f"skipped: {peer.name} (make bench installs it, or: pip install '{peer.package}')")
        else:
            yield peer


def _jwk(keys: LocalIssuer, alg: str) -> dict[str, Any]:
    return next(jwk for jwk in keys.jwks()["keys"] if jwk["alg"] == alg)


def _silence_authlib() -> None:
    """authlib.jose says on import that it is deprecated. It insists, so it is silenced after it has set its filter."""
    from authlib.deprecate import AuthlibDeprecationWarning

    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
