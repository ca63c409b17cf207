"""Contradictions fail when the object is built, and the message has the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.forge import AUDIENCE, GOOD_KEYS, ISSUER, JWKS, USELESS_KEYS
from tokenguard import (
    ANY_AUDIENCE,
    AccessToken,
    ConfigurationError,
    Issuer,
    KeyPolicy,
    Profile,
    TokenCache,
    TokenValidator,
    profiles,
)


def _check(token: AccessToken) -> None: ...


async def _async_check(token: AccessToken) -> None: ...


def _validator(*issuers: Any, **options: Any) -> Callable[[], object]:
    return lambda: TokenValidator(*(issuers or (ISSUER,)), **{"audience": AUDIENCE, **options})


def _issuer(url: Any = ISSUER, **options: Any) -> Callable[[], object]:
    return lambda: Issuer(url, **options)


def _cache(**options: Any) -> Callable[[], object]:
    return lambda: TokenCache(**options)


def _policy(**options: Any) -> Callable[[], object]:
    return lambda: KeyPolicy(**options)


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "no issuer": (lambda: TokenValidator(audience=AUDIENCE), "no issuer to trust"),
    "issuer twice": (_validator(ISSUER, Issuer(ISSUER)), "given twice"),
    "issuer is a number": (_validator(7), "named by its URL, not by 7"),
    "issuer is empty": (_issuer(""), "named by its URL"),
    "issuer over http": (_issuer("http://as.example.com"), "use https"),
    "issuer with a query": (_issuer("https://as.example.com?x=1"), "set jwks_uri"),
    "issuer with a fragment": (_issuer("https://as.example.com#x"), "not a plain https URL|is not a plain https URL"),
    "issuer with user info": (_issuer("https://u:p@as.example.com"), "is not a plain https URL"),
    "key set over http": (_issuer(jwks_uri="http://as.example.com/jwks"), "Issuer jwks_uri .* use https"),
    "key set URL is bytes": (_issuer(jwks_uri=b"https://as.example.com/jwks"), "is no string"),
    "metadata from a file": (_issuer(metadata_url="file:///etc/passwd"), "is not a plain https URL"),
    "two sources of keys": (
        _issuer(jwks=JWKS, jwks_uri="https://as.example.com/jwks"),
        "keep one of jwks and jwks_uri",
    ),
    "jwks is a list": (_issuer(jwks=[]), r'\{"keys": \[...\]\}'),
    "jwks is a bare key": (_issuer(jwks=GOOD_KEYS[0]), r'\{"keys": \[...\]\}'),
    "jwks without usable key": (_validator(Issuer(ISSUER, jwks={"keys": USELESS_KEYS})), "no usable key"),
    "jwks for no allowed algorithm": (
        _validator(Issuer(ISSUER, jwks={"keys": GOOD_KEYS[:1]}, algorithms=("ES256",))),
        "none of the issuer's allowed algorithms",
    ),
    "algorithm none": (_issuer(algorithms=("none",)), "can never verify"),
    "algorithm HS256": (_issuer(algorithms=("RS256", "HS256")), "'HS256' can never verify"),
    "algorithm in lower case": (_issuer(algorithms=("rs256",)), "choose from RS256"),
    "algorithm is no string": (_issuer(algorithms=([],)), "can never verify"),
    "algorithms is a string": (_issuer(algorithms="RS256"), r'a tuple such as \("RS256",\)'),
    "no algorithms": (_issuer(algorithms=()), "a tuple such as"),
    "leeway below zero": (_issuer(leeway=-1), "from 0 to 300"),
    "leeway of an hour": (_issuer(leeway=3600), "from 0 to 300"),
    "leeway is NaN": (_issuer(leeway=float("nan")), "from 0 to 300"),
    "leeway is a bool": (_issuer(leeway=True), "from 0 to 300"),
    "max_token_age of zero": (_issuer(max_token_age=0), "above 0, at most 316224000; None for any age"),
    "max_token_age without end": (_issuer(max_token_age=float("inf")), "above 0, at most 316224000; None for any age"),
    "max_token_age beyond a double": (_issuer(max_token_age=10**400), "above 0, at most 316224000"),
    "max_token_age is a string": (_issuer(max_token_age="1h"), "above 0, at most 316224000; None for any age"),
    "profile by name": (_issuer(profile="rfc9068"), "tokenguard.profiles"),
    "keys is a dict": (_issuer(keys={"lifetime": 1}), r"KeyPolicy\(\.\.\.\)"),
    "audience of an issuer is empty": (_issuer(audience=()), r"Issuer\('https://as.example.com'\).audience"),
    "audience is empty": (_validator(audience=""), "each audience is a non-empty string"),
    "audience is an empty list": (_validator(audience=[]), "ANY_AUDIENCE accepts"),
    "audience is None": (_validator(audience=None), "ANY_AUDIENCE accepts"),
    "audience has a number": (_validator(audience=["a", 7]), "has 7"),
    "any audience under a profile that requires one": (
        _validator(Issuer(ISSUER, jwks=JWKS, profile=profiles.RFC9068), audience=ANY_AUDIENCE),
        "contradicts profile rfc9068",
    ),
    "realm with a quote": (_validator(realm='a"b'), "realm is"),
    "realm is no string": (_validator(realm=7), "realm is 7"),
    "audience that cannot be a realm": (_validator(audience='urn:"x"'), 'name a realm, realm="api"'),
    "check is no function": (_validator(checks=["x"]), "is no plain function"),
    "check is async": (_validator(checks=[_async_check]), "is no plain function"),
    "check without a list": (_validator(checks=_check), r"checks is _check: .*checks=\[my_check\]"),
    "checks are None": (_validator(checks=None), r"checks is None: .*checks=\[my_check\]"),
    "cache is off by a switch": (
        _validator(token_cache=False),
        r"token_cache is False: TokenCache\(...\), or None for",
    ),
    "cache is on by a switch": (
        _validator(token_cache=True),
        r"token_cache is True: TokenCache\(...\), or None for none",
    ),
    "cache by its size": (_validator(token_cache=100), r"token_cache is 100: TokenCache\(...\), or None for none"),
    "async client": (_validator(http_client=httpx.AsyncClient()), "httpx.Client"),
    "client of another kind": (_validator(http_client=object()), "httpx.Client"),
    "a cache of nothing": (_cache(entries=0), "token_cache=None remembers nothing"),
    "half an entry": (_cache(entries=0.5), "TokenCache.entries is 0.5: it is a whole number above 0; token_cache=None"),
    "half a byte": (_cache(text_bytes=1.5), "TokenCache.text_bytes is 1.5: it is a whole number above 0; "),
    "a cache for ages": (_cache(lifetime=1e300), "at most 604800; token_cache=None remembers nothing"),
    "a cache for no time": (_cache(lifetime=0), "above 0, at most 604800; token_cache=None remembers"),
    "stale for less than no time": (
        _policy(stale_window=-1),
        "stale_window is -1: it is a number of seconds from 0 to 6",
    ),
    "half a key": (_policy(max_keys=0.5), "a whole number above 0"),
    "patience of ages": (_policy(patience=1e10), "at most 604800"),
    "on_event is a number": (_validator(on_event=5), "on_event is 5: give a plain function"),
    "on_event is async": (_validator(on_event=_async_check), "give a plain function"),
    "clock is a number": (_validator(clock=5), "clock is 5"),
    "monotonic is None": (_validator(monotonic=None), "monotonic is None"),
    "client's class": (_validator(http_client=httpx.Client), "httpx.Client"),
    "insecure by a string": (_issuer(allow_insecure_http="false"), "True or False"),
    "a type with its comma lost": (lambda: Profile(name="x", types="at+jwt"), "Profile.types is 'at\\+jwt'"),  # type: ignore[arg-type]
    "required as a string": (lambda: Profile(name="x", types=frozenset(), required="sub"), "Profile.required is 'sub'"),  # type: ignore[arg-type]
    "required by a generator": (
        lambda: Profile(name="x", types=frozenset(), required=(c for c in ("sub",))),  # type: ignore[arg-type]
        "Profile.required is <generator",
    ),
    "a type that never matches": (lambda: Profile(name="x", types=frozenset({"application/JWT"})), "in lower case"),
    "lifetime of zero": (_policy(lifetime=0), "KeyPolicy.lifetime is 0"),
    "lifetime is infinite": (_policy(lifetime=float("inf")), "a number of seconds above 0"),
    "max_keys is a string": (_policy(max_keys="100"), "a whole number above 0"),
    "retries that shrink": (
        _policy(retry_first=10, retry_most=5),
        r"retry_first \(10\) is above KeyPolicy.retry_most \(5\)",
    ),
    "connecting longer than all of it": (_policy(connect_timeout=9), "connect_timeout .* is above"),
    "a lifetime below its own bound": (_policy(lifetime=30), "min_lifetime .* is above KeyPolicy.lifetime"),
    "a lifetime above its own bound": (_policy(lifetime=7200), "lifetime .* is above KeyPolicy.max_lifetime"),
    "refreshing before it was fetched": (_policy(refresh_ahead=400), "refresh_ahead .* is above KeyPolicy.lifetime"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_contradiction_is_a_configuration_error_with_a_remedy(fault: str) -> None:
    build, message = FAULTS[fault]
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_the_audience_is_required() -> None:
    with pytest.raises(TypeError, match="audience"):
        TokenValidator(ISSUER)  # type: ignore[call-arg]  # what a user may write


def test_the_realm_is_the_first_audience() -> None:
    assert TokenValidator(ISSUER, audience=["b", "a"]).realm == "b"
    assert TokenValidator(ISSUER, audience={"b", "a"}).realm == "a"  # a set has no first
    assert TokenValidator(ISSUER, audience=ANY_AUDIENCE).realm == "api"
    assert TokenValidator(ISSUER, audience="a", realm="mine").realm == "mine"


def test_an_issuer_needs_no_url_form_where_nothing_is_discovered() -> None:
    assert Issuer("accounts.example.com", jwks=JWKS).url == "accounts.example.com"


def test_an_issuer_is_frozen_and_keeps_its_own_copy_of_the_keys() -> None:
    document: dict[str, Any] = {"keys": [dict(GOOD_KEYS[0])]}
    issuer = Issuer(ISSUER, jwks=document)
    document["keys"].clear()
    assert issuer.jwks is not None
    assert len(issuer.jwks["keys"]) == 1
    with pytest.raises(AttributeError):
        issuer.leeway = 3  # type: ignore[misc]
    assert "keys=KeyPolicy" in repr(issuer)
    assert "'n'" not in repr(issuer)
    assert hash(issuer) == hash(Issuer(ISSUER, jwks=document))


def test_any_audience_prints_its_name() -> None:
    assert repr(ANY_AUDIENCE) == "ANY_AUDIENCE"
