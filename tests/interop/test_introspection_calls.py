"""How often a real authorization server is asked about tokens, and what follows where it does not answer."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import httpx2
import pytest

from tests.interop.asking import (
    PATIENT_KEYS,
    WELL_KNOWN,
    all_answered,
    answered,
    asked,
    asking,
    calls,
    guarded,
    in_threads,
    refusal,
    silence,
    status,
    succeed,
)
from tests.interop.oidc_provider import OPAQUE, OidcProvider
from tests.keys.stage import LONG, Turned, at_once, settle
from tokenguard import (
    AccessToken,
    Reason,
    TokenValidator,
)
from tokenguard.events import Event, IntrospectionFailed, IntrospectionRecovered
from tokenguard.integrations.asgi import TokenGuardMiddleware

pytestmark = pytest.mark.real_server

# How often it is asked


def test_a_thousand_threads_with_one_token_ask_once(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    with asking(provider) as validator:
        heard: list[AccessToken] = []
        in_threads(1000, lambda: heard.append(validator.validate(token)))
    assert len(heard) == 1000
    assert calls(provider) == 1


def test_a_thousand_requests_of_an_event_loop_with_one_token_ask_once(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    with asking(provider) as validator:
        answers = asyncio.run(all_answered(guarded(validator), [token] * 1000))
    assert answers == [(200, {}, b"app")] * 1000
    assert calls(provider) == 1


def test_a_call_is_not_repeated_for_who_looked_before_it_ended_and_asks_after(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)
    readings = 0

    def monotonic() -> float:
        nonlocal readings
        readings += 1
        if readings == 2:  # it has looked, and finds nobody under way
            rival = threading.Thread(target=validator.validate, args=[token])
            rival.start()
            rival.join(LONG)
        return 0.0

    with TokenValidator(asked(provider), audience=OPAQUE, monotonic=monotonic) as validator:
        validator.validate(token)
        settle()
    assert calls(provider) == 1


def test_what_a_waiter_was_told_is_known_before_it_wakes(provider: OidcProvider) -> None:
    token = provider.token(OPAQUE)

    async def main(validator: TokenValidator) -> None:
        waiting = asyncio.create_task(validator.validate_async(token))
        await asyncio.sleep(0)  # it asks, and waits
        settle()  # the answer has come; the loop is busy
        validator.validate(token)
        await waiting

    with asking(provider) as validator:
        asyncio.run(main(validator))
    assert calls(provider) == 1


NO_TOKENS = ["", " ", "a b", 'a"b', "a=b", "=", "a,b", "a%20b", "a\nb", "\x00", "Ünheard-of", "x" * 16385]
MADE_UP_JWTS = ["eyJhbGciOiJSUzI1NiJ9.e30.", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"]


def test_what_cannot_be_an_opaque_token_costs_no_call(provider: OidcProvider) -> None:
    with asking(provider) as validator:
        for token in NO_TOKENS + MADE_UP_JWTS:
            assert status(validator, token) == 401
    assert provider.counts() == {}


def test_junk_is_asked_about_once_and_harms_nobody(provider: OidcProvider, tick: Turned) -> None:
    good = [provider.token(OPAQUE) for _ in range(20)]
    junk = [secrets.token_urlsafe(12) for _ in range(2000)]
    with asking(provider, tick) as validator, ThreadPoolExecutor(4) as pool:

        def statuses(tokens: list[str]) -> Counter[int]:
            return Counter(pool.map(lambda token: status(validator, token), tokens))

        assert statuses(good) == {200: 20}
        provider.reset()
        assert statuses(junk) == {401: 2000}
        assert calls(provider) == 2000
        tick.now += 9.9
        assert statuses(junk) == {401: 2000}
        assert statuses(good) == {200: 20}
        assert calls(provider) == 2000
        assert validator.health()[provider.issuer]["introspection"]["state"] == "ready"
        tick.now += 0.1
        assert statuses(junk[:10]) == {401: 10}
        assert calls(provider) == 2010


def test_a_crowd_of_junk_opens_no_breaker_and_evicts_nothing(provider: OidcProvider) -> None:
    known = [provider.token(OPAQUE) for _ in range(20)]

    async def crowd(app: TokenGuardMiddleware) -> Counter[int]:
        provider.fail(provider.introspection_endpoint, hang=True)
        requests = [asyncio.create_task(answered(app, secrets.token_urlsafe(12))) for _ in range(2000)]
        await asyncio.sleep(0)  # now each of them waits, or was refused
        provider.recover()
        return Counter(status for status, _, _ in await asyncio.gather(*requests))

    with asking(provider, in_flight=8, entries=40) as validator:
        app = guarded(validator)
        asyncio.run(all_answered(app, known))
        provider.reset()
        # 8 are under way, 32 in line for each; beyond the line's end nobody waits.
        assert asyncio.run(crowd(app)) == {401: 8 + 8 * 32, 503: 2000 - 8 - 8 * 32}
        assert calls(provider) == 8 + 8 * 32
        health = validator.health()[provider.issuer]["introspection"]
        assert health == {"state": "ready", "next_try": 0, "last_error": None}
        assert asyncio.run(all_answered(app, known)) == [(200, {}, b"app")] * 20
        assert calls(provider) == 8 + 8 * 32
        assert validator.validate(provider.token(OPAQUE)).client_id == "app"


def test_who_gives_up_leaves_the_others_waiting_and_the_loop_is_free(provider: OidcProvider) -> None:
    known, token = provider.token(OPAQUE), provider.token(OPAQUE)

    async def main(validator: TokenValidator) -> AccessToken:
        await validator.validate_async(known)
        provider.fail(provider.introspection_endpoint, hang=True)
        one, other = (asyncio.create_task(validator.validate_async(token)) for _ in range(2))
        await asyncio.to_thread(provider.wait_for_requests, provider.introspection_endpoint, 2)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert at_once(validator.validate_async(known)).client_id == "app"
        provider.recover()
        return await other

    with asking(provider) as validator:
        assert asyncio.run(main(validator)).client_id == "app"
    assert calls(provider) == 2


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: str(library.__name__))
def test_it_can_be_asked_by_the_applications_own_client(provider: OidcProvider, library: Any) -> None:
    with library.Client() as client, asking(provider, validator={"http_client": client}) as validator:
        for _ in range(2):
            assert validator.validate(provider.token(OPAQUE)).client_id == "app"
        in_threads(20, lambda: refusal(validator, secrets.token_urlsafe()))
    assert calls(provider) == 22


# Trouble

ELSEWHERE = "https://elsewhere.example/introspect"

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "502": {"status": 502, "headers": {"Content-Type": "text/html"}, "body": "<html>Bad Gateway</html>"},
    "503": {"status": 503, "headers": {"Retry-After": "7"}},
    "429": {"status": 429, "headers": {"Retry-After": "7"}},
    "400": {"status": 400, "body": '{"error": "invalid_request"}'},
    "404": {"status": 404},
    "301": {"status": 301, "headers": {"Location": ELSEWHERE}},
    "307": {"status": 307, "headers": {"Location": ELSEWHERE}},
    "204": {"status": 204},
    "an empty body": {"status": 200},
    "HTML": {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>Please log in</html>"},
    "a list": {"status": 200, "body": "[]"},
    "active twice": {"status": 200, "body": '{"active": false, "active": true}'},
    "too much": {"status": 200, "body": '{"active": false}' + " " * 65536},
    "reset": {"reset": True},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_in_trouble_means_no_verdict_until_it_recovers(
    provider: OidcProvider, tick: Turned, fault: str
) -> None:
    token = provider.token(OPAQUE)
    url = provider.introspection_endpoint
    with asking(provider, tick) as validator:
        provider.fail(url, **FAULTS[fault])
        for each in (token, "unheard-of"):
            unavailable = silence(validator, each)
            assert unavailable.reason == Reason.INTROSPECTION_UNAVAILABLE
            assert unavailable.issuer == provider.issuer
            assert unavailable.retry_after == int(FAULTS[fault].get("headers", {}).get("Retry-After", 1))
        provider.recover()
        assert validator.validate(token).client_id == "app"
        assert refusal(validator, "unheard-of") == Reason.INACTIVE


@pytest.mark.parametrize("fault", [{"hang": True}, {"delay": 60}], ids=["hangs", "is slow"])
@pytest.mark.parametrize("limit", ["total_timeout", "patience"])
def test_nobody_waits_long_for_a_server_that_does_not_answer(
    provider: OidcProvider, tick: Turned, fault: dict[str, Any], limit: str
) -> None:
    token = provider.token(OPAQUE)
    brief: dict[str, Any] = {"connect_timeout": 0.2, limit: 0.2}
    with asking(provider, tick, **brief) as validator:
        provider.fail(provider.introspection_endpoint, **fault)
        assert silence(validator, token).reason == Reason.INTROSPECTION_UNAVAILABLE
        provider.recover()
        succeed(validator, token, tick)


def test_its_metadata_is_fetched_once_by_a_crowd(provider: OidcProvider) -> None:
    with asking(provider) as validator:
        in_threads(50, lambda: refusal(validator, secrets.token_urlsafe()))
    assert sum(provider.count(address) for address in WELL_KNOWN) == 1


def test_metadata_that_is_out_of_reach_is_not_asked_for_at_each_call(provider: OidcProvider, tick: Turned) -> None:
    with asking(provider, tick) as validator:
        validator.validate(provider.token(OPAQUE))
        provider.reset()
        for address in WELL_KNOWN:
            provider.fail(address, status=503)
        tick.now += PATIENT_KEYS.metadata_lifetime
        for _ in range(10):
            assert validator.validate(provider.token(OPAQUE)).client_id == "app"
    assert sum(provider.count(address) for address in WELL_KNOWN) <= 2


@pytest.mark.parametrize("fault", ["500", "HTML", "reset"])
def test_its_metadata_in_trouble_means_no_verdict_either(provider: OidcProvider, tick: Turned, fault: str) -> None:
    token = provider.token(OPAQUE)
    with asking(provider, tick) as validator:
        for address in WELL_KNOWN:
            provider.fail(address, **FAULTS[fault])
        assert silence(validator, token).reason == Reason.INTROSPECTION_UNAVAILABLE
        assert calls(provider) == 0
        provider.recover()
        tick.now += 60
        assert validator.validate(token).client_id == "app"


@pytest.mark.parametrize("fault", FAULTS)
def test_trouble_is_reported(provider: OidcProvider, fault: str) -> None:
    events: list[Event] = []
    with asking(provider, validator={"on_event": events.append}) as validator:
        provider.fail(provider.introspection_endpoint, **FAULTS[fault])
        silence(validator, provider.token(OPAQUE))
        settle()
        assert validator.health()[provider.issuer]["introspection"]["last_error"]
    assert [type(event) for event in events].count(IntrospectionFailed) == 1


def test_a_server_in_trouble_is_left_alone_for_a_while(provider: OidcProvider, tick: Turned) -> None:
    known, token = provider.token(OPAQUE), provider.token(OPAQUE)
    events: list[Event] = []
    with asking(provider, tick, validator={"on_event": events.append}) as validator:

        def state() -> str:
            said: str = validator.health()[provider.issuer]["introspection"]["state"]
            return said

        validator.validate(known)
        provider.fail(provider.introspection_endpoint, status=500)
        for number in range(1, 6):
            assert (state(), calls(provider)) == ("ready", number)
            silence(validator, token)
        for _ in range(50):
            assert silence(validator, token).retry_after == 1
        assert (state(), calls(provider)) == ("paused", 6)
        assert validator.validate(known).client_id == "app"

        tick.now += 1
        in_threads(20, lambda: silence(validator, token))
        assert (state(), calls(provider)) == ("paused", 7)  # the first was the probe
        tick.now += 1
        assert silence(validator, token).retry_after == 1
        assert calls(provider) == 7  # the pause has doubled

        provider.recover()
        tick.now += 1
        assert validator.validate(token).client_id == "app"
        settle()
        assert (state(), calls(provider)) == ("ready", 8)
    assert sum(isinstance(event, IntrospectionRecovered) for event in events) == 1


def test_a_server_that_is_gone_means_no_verdict_and_what_it_told_serves_on(provider: OidcProvider) -> None:
    with OidcProvider() as server:
        known, token = server.token(OPAQUE), server.token(OPAQUE)
        with asking(server) as validator:
            validator.validate(known)
            server.close()
            assert silence(validator, token).reason == Reason.INTROSPECTION_UNAVAILABLE
            assert validator.validate(known).client_id == "app"
