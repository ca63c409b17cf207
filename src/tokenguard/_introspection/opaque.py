"""Tokens that only their issuer can read: which they are, whom to ask, and what follows from several answers."""

from __future__ import annotations

import binascii
import inspect
import json
import re
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from .._base64url import base64url_decode
from .._fetch import Miss
from .._json import json_object
from .._text import for_log
from .._trust import Trust
from ..config import Issuer
from ..errors import ConfigurationError, InvalidToken, Reason, Unavailable
from .introspector import Introspector, Standing

Select = Callable[[str], "str | Issuer | Iterable[str | Issuer]"]

MOST = 8  # issuers that are asked about one token, one after the other

_TOKEN68 = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 s2.1
_DEEP = 100  # brackets: so many has no opaque token, and how deep a parser goes differs from Python to Python
_STANDARD = bytes.maketrans(b"-_", b"+/")
_BEYOND = b"~"  # of token68, what no base64 has: some readers pass over it


def is_jwt(text: bytes, segments: int = 3) -> bool:
    """Whether a token means to be a JWT (with five segments: a JWE), well made or not.

    What looks like one is judged as one. An issuer asked about it might know it, and say of what must be refused here
    (an ID token, an expired one, one for others) that it is active.

    >>> is_jwt(b"eyJhbGciOiJub25lIn0.e30."), is_jwt(b"2YotnFZFEjr1zCsicMWpAA"), is_jwt(b"a.b.c")
    (True, False, False)
    """
    head, *rest = text.split(b".", segments)
    if len(rest) != segments - 1:
        return False
    head = head.translate(_STANDARD, _BEYOND).rstrip(b"=")
    head = head[: len(head) - (len(head) % 4 == 1)]
    try:
        octets = binascii.a2b_base64(head + b"=" * (-len(head) % 4))
        if octets.count(b"[") + octets.count(b"{") > _DEEP:
            return True
        # As the most lenient of readers would have it.
        written = octets.decode(json.detect_encoding(octets), "replace")
        header = json.loads(written, strict=False, parse_int=str, parse_float=str)
    except ValueError:
        return False
    return type(header) is dict and "alg" in header


class OpaqueTokens:
    """Asks issuers about tokens.

    Args:
        trust: the issuers.
        select: the application's own function, from a token's text to those who may have issued it.

    Raises:
        ConfigurationError: several issuers could be asked, and nobody says which one.
    """

    def __init__(self, trust: Trust, select: Select | None) -> None:
        asked = [introspector.policy for introspector in trust.introspecting]
        asked += [tenants.policy for tenants in trust.tenants if tenants.policy is not None]
        several = len(asked) > 1 or any(tenants.policy is not None for tenants in trust.tenants)
        if several and select is None:
            raise ConfigurationError(
                "several issuers can be asked about opaque tokens, and a token is shown to none that did not issue it: "
                "give select=, a function from a token's text to the URL of its issuer"
            )
        said: object = select  # what is annotated need not hold
        if said is not None and (not callable(said) or inspect.iscoroutinefunction(said) or not asked):
            raise ConfigurationError(
                "select is of use only as a plain function, and with issuers that have introspection=Introspection(...)"
            )
        self.any = bool(asked)
        self._trust = trust
        self._select = select
        self._any_only = "only" in asked

    def whom(self, text: bytes, known: Container[bytes]) -> Sequence[Introspector]:
        """Whom to ask about a token. Nobody: it is to be judged here, as a JWT.

        Args:
            text: of `token_bytes`.
            known: headers of JWTs that were proven here.

        Raises:
            ConfigurationError: `select` names nobody that can be asked.
        """
        jwt = text.partition(b".")[0] in known or is_jwt(text)
        jwe = not jwt and is_jwt(text, segments=5)
        if ((jwt or jwe) and not self._any_only) or not _TOKEN68.fullmatch(text):
            return ()
        if jwt:
            iss = _iss(text)
            trusted = None if iss is None else self._trust.find(iss)
            if trusted is not None and trusted.introspector is not None and trusted.introspector.policy == "only":
                return (trusted.introspector,)
            if iss is not None:
                return ()
        candidates = self._candidates(text)
        if jwt or jwe:
            return [introspector for introspector in candidates if introspector.policy == "only"]
        return candidates

    def judge(
        self, text: bytes, digest: bytes, asked: Sequence[Introspector], now: float, tick: float
    ) -> Standing | Miss[Standing]:
        """What those say who are asked. The first who accepts a token decides.

        Raises:
            Unavailable: none does, and one of them could not say.
            InvalidToken: none does.
        """
        first, *others = asked
        return self._settle(
            lambda now, tick: first.judge(text, digest, now, tick), (text, digest, others), None, now, tick
        )

    def _settle(
        self,
        attempt: Callable[[float, float], Standing | Miss[Standing]],
        case: tuple[bytes, bytes, Sequence[Introspector]],
        heard: InvalidToken | Unavailable | None,
        now: float,
        tick: float,
    ) -> Standing | Miss[Standing]:
        text, digest, others = case
        try:
            outcome = attempt(now, tick)
        except (InvalidToken, Unavailable) as refused:
            if not others and heard is None:
                raise
            heard = refused if heard is None else _more_telling(heard, refused)
        else:
            if not isinstance(outcome, Miss):
                return outcome
            resume = outcome.resume
            return Miss(
                fetch=outcome.fetch,
                resume=lambda answer, now, tick: self._settle(
                    lambda now, tick: resume(answer, now, tick), case, heard, now, tick
                ),
            )
        if not others:
            raise heard
        upcoming, *rest = others
        return self._settle(
            lambda now, tick: upcoming.judge(text, digest, now, tick), (text, digest, rest), heard, now, tick
        )

    def _candidates(self, text: bytes) -> Sequence[Introspector]:
        if self._select is None:
            return self._trust.introspecting
        token = text.decode("ascii")
        named: Any = self._select(token)
        if isinstance(named, (str, Issuer)):
            named = (named,)
        if not isinstance(named, Iterable):
            if inspect.iscoroutine(named):
                named.close()
            raise ConfigurationError(
                f"select returned {type(named).__name__}: the URL of an issuer, several, or () where it is nobody's"
            )
        found = []
        for name in named:
            url: Any = name.url if isinstance(name, Issuer) else name
            trusted = self._trust.find(url) if isinstance(url, str) else None
            if trusted is None and isinstance(url, str) and self._trust.is_tenant(url):
                continue  # of a tenant that is none of ours, or not any more
            if trusted is None or trusted.introspector is None:
                # By mistake it may be the token, or a part of it: those have no colon, and are not shown.
                shown = isinstance(url, str) and ":" in url and token not in url
                raise ConfigurationError(
                    f"select names {for_log(url) if shown else 'what is no URL'}: "
                    "name configured issuers that have introspection=Introspection(...)"
                )
            found.append(trusted.introspector)
        if len(found) > MOST:
            raise ConfigurationError(f"select names {len(found)} issuers for one token: at most {MOST}")
        return found


def _more_telling(one: InvalidToken | Unavailable, other: InvalidToken | Unavailable) -> InvalidToken | Unavailable:
    """That one could not say counts more than a refusal, and why it was refused more than that it is not known."""

    def weight(refused: InvalidToken | Unavailable) -> int:
        return 2 if isinstance(refused, Unavailable) else int(refused.reason is not Reason.INACTIVE)

    return other if weight(other) > weight(one) else one


def _iss(text: bytes) -> str | None:
    """What a JWT says of its issuer; None where it cannot be read."""
    try:
        iss = json_object(base64url_decode(text.split(b".", 2)[1])).get("iss")
    except ValueError:
        return None
    return iss if type(iss) is str else None
