"""Trouble is no verdict: 503, never remembered, and the endpoint is left alone only where it itself is in trouble."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.forge import ISSUER, JWKS
from tests.introspection.stage import ENDPOINT, INACTIVE, JWT, OPAQUE, OTHER, Scene, active, answer, asked, issuer
from tests.steps import Reply
from tokenguard import AccessToken, Issuer, Reason, Unavailable
from tokenguard._fetch import Answer
from tokenguard._introspection.endpoint import FAILURES
from tokenguard.events import IntrospectionFailed, IntrospectionRecovered

OPENS, LEAVES = True, False
UNAVAILABLE, CREDENTIALS = Reason.INTROSPECTION_UNAVAILABLE, Reason.INTROSPECTION_CREDENTIALS_REJECTED
DISCOVERED = "https://as.example.com/.well-known/oauth-authorization-server"
APPENDED = "https://as.example.com/.well-known/openid-configuration"

# name -> (the answer, the reason, whether some in a row open the breaker)
TROUBLES: dict[str, tuple[Reply, Reason, bool]] = {
    # I06
    "connect failure": ("ConnectError 'refused'", UNAVAILABLE, OPENS),
    "timeout": ("not done within 3.0 s", UNAVAILABLE, OPENS),
    "name unknown": ("ConnectError 'Name or service not known'", UNAVAILABLE, OPENS),
    "cut off": ("RemoteProtocolError 'peer closed connection'", UNAVAILABLE, OPENS),
    "500": (500, UNAVAILABLE, OPENS),
    "502 with HTML": (answer(502, b"<html>"), UNAVAILABLE, OPENS),
    "503": (503, UNAVAILABLE, OPENS),
    "504": (504, UNAVAILABLE, OPENS),
    "500 that is compressed": (Answer(at=0.0, status=500, trouble="compressed"), UNAVAILABLE, OPENS),
    "500 that says inactive": (answer(500, INACTIVE), UNAVAILABLE, OPENS),
    "500 that says active": (answer(500, active()), UNAVAILABLE, OPENS),
    # I07, C34: our own credentials (RFC 7662 s2.3)
    "401 invalid_client": (answer(401, {"error": "invalid_client"}), CREDENTIALS, OPENS),
    "400 invalid_client": (answer(400, {"error": "invalid_client"}), CREDENTIALS, OPENS),
    "401 alone": (401, CREDENTIALS, LEAVES),
    "401 invalid_token": (answer(401, {"error": "invalid_token"}), CREDENTIALS, LEAVES),
    "401 that says inactive": (answer(401, INACTIVE), CREDENTIALS, LEAVES),
    "403": (403, CREDENTIALS, LEAVES),
    "403 unauthorized_client": (answer(403, {"error": "unauthorized_client"}), CREDENTIALS, LEAVES),
    "401 with a page": (Answer(at=0.0, status=401, trouble="more than 65536 bytes"), CREDENTIALS, LEAVES),
    "403 that is compressed": (Answer(at=0.0, status=403, trouble="the answer is compressed"), CREDENTIALS, LEAVES),
    # What a caller's token can cause
    "429": (429, UNAVAILABLE, LEAVES),
    "400": (400, UNAVAILABLE, LEAVES),
    "400 invalid_request": (answer(400, {"error": "invalid_request"}), UNAVAILABLE, LEAVES),
    "400 that says inactive": (answer(400, INACTIVE), UNAVAILABLE, LEAVES),
    "400 with an error that is none": (answer(400, {"error": ["unsupported_token_type"]}), UNAVAILABLE, LEAVES),
    "404": (404, UNAVAILABLE, LEAVES),
    "405": (405, UNAVAILABLE, LEAVES),
    "413": (413, UNAVAILABLE, LEAVES),
    "401 unsupported_token_type": (answer(401, {"error": "unsupported_token_type"}), CREDENTIALS, LEAVES),
    "404 unsupported_token_type": (answer(404, {"error": "unsupported_token_type"}), UNAVAILABLE, LEAVES),
    "503 unsupported_token_type": (answer(503, {"error": "unsupported_token_type"}), UNAVAILABLE, OPENS),
    "201 that says active": (answer(201, active()), UNAVAILABLE, LEAVES),
    "204": (204, UNAVAILABLE, LEAVES),
    "206 that says active": (answer(206, active()), UNAVAILABLE, LEAVES),
    "302": (answer(302, None, location="https://evil.example.com"), UNAVAILABLE, LEAVES),
    "304": (304, UNAVAILABLE, LEAVES),
    "too large": (Answer(at=0.0, status=200, trouble="more than 65536 bytes"), UNAVAILABLE, LEAVES),
    "compressed": (Answer(at=0.0, status=200, trouble="the answer is compressed"), UNAVAILABLE, LEAVES),
    "HTML": (b"<html>", UNAVAILABLE, LEAVES),
    "no object": (b"[]", UNAVAILABLE, LEAVES),
    "nothing": (b"", UNAVAILABLE, LEAVES),
}


@pytest.mark.parametrize("policy", ["opaque", "always", "only"])
@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_is_503_and_never_remembered(name: str, policy: str) -> None:
    said, reason, opens = TROUBLES[name]
    scene = Scene(issuer(introspection=asked(policy=policy)))
    scene.tells[ENDPOINT] = said
    token = JWT if policy == "always" else OPAQUE
    for number in range(FAILURES):
        refused = scene.unavailable(token)
        assert (refused.reason, refused.issuer) == (reason, ISSUER)
        assert scene.calls == number + 1
    health = scene.introspector().health(scene.tick)
    assert health["state"] == ("paused" if opens else "ready")
    assert health["last_error"]
    failed = [event for event in scene.events if isinstance(event, IntrospectionFailed)]
    assert len(failed) == FAILURES == len(scene.events)
    assert {event.credentials for event in failed} == {reason is CREDENTIALS}
    assert [event.pause > 0 for event in failed] == [False] * (FAILURES - 1) + [opens]
    # Left alone: the same answer as before, without a call. Else: another call each time.
    assert scene.unavailable(token).reason is reason
    assert scene.calls == FAILURES + (not opens)
    scene.tells[ENDPOINT] = active()
    scene.tick = 1
    scene.validate(token)
    assert scene.introspector().health(scene.tick) == {"state": "ready", "next_try": 0.0, "last_error": None}
    assert any(isinstance(event, IntrospectionRecovered) for event in scene.events) == opens


def test_one_kind_of_400_refuses_the_token() -> None:
    scene = Scene()
    scene.tells[ENDPOINT] = answer(400, {"error": "unsupported_token_type"})
    assert scene.refused().reason is Reason.INACTIVE
    assert scene.introspector().health(0)["last_error"] is None
    assert scene.events == []


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("said", "seconds"),
        [("7", 7), ("0", 1), ("30", 30), ("31", 30), ("9999999999", 30), ("-5", 1), ("soon", 1), ("1.5", 1), ("", 1)],
    )
    @pytest.mark.parametrize("status", [429, 503, 401])
    def test_the_servers_own_counts_within_bounds(self, said: str, seconds: int, status: int) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = answer(status, None, retry_after=said)
        assert scene.unavailable().headers["Retry-After"] == str(seconds)

    def test_a_date_is_not_read(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = answer(503, None, retry_after="Wed, 21 Oct 2037 07:28:00 GMT")
        assert scene.unavailable().retry_after == 1

    def test_that_of_an_open_breaker_is_its_pause(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = 500
        tick = 0.0
        waits = []
        for _ in range(FAILURES + 4):
            scene.tick = tick
            waits.append(scene.unavailable().retry_after)
            tick += scene.introspector().health(tick)["next_try"]
        assert waits == [1, 1, 1, 1, 1, 2, 4, 8, 16]
        scene.tick = tick - 3.5
        assert scene.unavailable().retry_after == 4


class TestBreaker:
    def test_it_opens_after_five_in_a_row_and_probes_each_time_later(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = "ConnectError"
        for number in range(20):
            scene.unavailable(f"token-{number}")
        assert scene.calls == FAILURES
        for pause, tick in ((2, 1), (4, 3), (8, 7), (16, 15), (30, 31), (30, 61)):
            scene.tick = tick - 0.001
            scene.unavailable()
            calls = scene.calls
            scene.tick = tick
            scene.unavailable()
            assert scene.calls == calls + 1
            assert scene.introspector().health(scene.tick)["next_try"] == pause

    def test_an_open_one_costs_microseconds(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = 500
        for _ in range(FAILURES):
            scene.unavailable()
        calls, begun = scene.calls, time.perf_counter()
        for _ in range(2000):
            try:
                scene.core.decide(OPAQUE, scene.now, scene.tick)
            except Unavailable:
                continue
            raise AssertionError("nobody was to be asked")
        assert (time.perf_counter() - begun) / 2000 < 0.001  # a call takes as long at the very least
        assert scene.calls == calls

    def test_what_is_remembered_serves_on(self) -> None:
        scene = Scene()
        scene.validate("good")
        scene.tells[ENDPOINT] = INACTIVE
        scene.refused("bad")
        scene.tells[ENDPOINT] = 500
        for _ in range(FAILURES):
            scene.unavailable()
        scene.validate("good")
        assert scene.refused("bad").reason is Reason.INACTIVE

    def test_one_probe_at_a_time(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = 500
        for _ in range(FAILURES):
            scene.unavailable()
        scene.tells[ENDPOINT] = active()
        scene.tick = 1
        first, second = scene.start("first"), scene.start("second")
        steps = first.fetch.steps(scene.tick)
        next(steps)  # under way
        with pytest.raises(Unavailable) as caught:
            second.resume(scene.fly(second.fetch), scene.now, scene.tick)
        assert caught.value.reason is UNAVAILABLE
        assert scene.calls == FAILURES
        with pytest.raises(Unavailable):
            scene.core.decide("third", scene.now, scene.tick)
        with pytest.raises(StopIteration):
            steps.send(scene.answer(ENDPOINT))

    @pytest.mark.parametrize(
        "said", [INACTIVE, 429, 400, 401, b"junk", answer(400, {"error": "unsupported_token_type"})]
    )
    def test_whatever_a_token_can_cause_opens_nothing_and_closes_it(self, said: Reply) -> None:
        scene = Scene()
        for number in range(50):
            scene.tells[ENDPOINT] = 500 if number % FAILURES else said
            scene.outcome(f"token-{number}")
        assert scene.calls == 50

    def test_while_it_is_open_the_reason_stays(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = answer(401, {"error": "invalid_client"})
        for _ in range(FAILURES + 20):
            assert scene.unavailable().reason is CREDENTIALS
        assert scene.calls == FAILURES

    def test_each_issuer_has_its_own(self) -> None:
        other = issuer("https://other.example.com", asked(endpoint="https://other.example.com/x"), audience="x")
        scene = Scene(issuer(), other, select=lambda token: token)  # unused
        scene.tells[ENDPOINT] = 500
        scene.core._opaque._select = lambda _: ISSUER  # type: ignore[union-attr]
        for _ in range(FAILURES):
            scene.unavailable()
        assert scene.introspector("https://other.example.com").health(0)["state"] == "ready"

    def test_open_without_a_known_trouble_is_said_as_well(self) -> None:
        scene = Scene()
        scene.tells[ENDPOINT] = 500
        for _ in range(FAILURES):
            scene.unavailable()
        scene.introspector()._endpoint.trouble = None  # another call, under way meanwhile, was answered well
        assert "left alone" in scene.unavailable().detail


class TestWaiting:
    def test_an_answer_that_does_not_come_in_time_is_503(self) -> None:
        scene = Scene()
        miss = scene.start()
        with pytest.raises(Unavailable, match="no answer in time") as caught:
            miss.resume(None, scene.now, scene.tick)
        assert (caught.value.reason, caught.value.retry_after) == (UNAVAILABLE, 1)

    def test_whoever_gave_up_finds_what_came_meanwhile(self) -> None:
        scene = Scene()
        miss = scene.start()
        scene.fly(miss.fetch)
        scene.validate()
        assert isinstance(miss.resume(None, scene.now, scene.tick), AccessToken)
        assert scene.calls == 1

    def test_whoever_comes_between_the_landing_and_the_first_waiter_asks_nobody(self) -> None:
        # The answer is remembered before it lands: the same token at the same time is one call.
        scene = Scene()
        scene.fly(scene.start().fetch)
        scene.validate()
        assert scene.calls == 1
        scene.tells[ENDPOINT] = INACTIVE
        scene.fly(scene.start("bad").fetch)
        scene.refused("bad")
        assert scene.calls == 2

    def test_whoever_looked_before_the_landing_and_started_after_it_asks_nobody(self) -> None:
        scene = Scene()
        first, second = scene.start(), scene.start()
        scene.fly(first.fetch)
        assert isinstance(second.resume(scene.fly(second.fetch), scene.now, scene.tick), AccessToken)
        assert scene.calls == 1

    def test_calls_in_line_are_bounded_by_endpoint(self) -> None:
        scene = Scene(issuer(introspection=asked(in_flight=3)))
        one, other = scene.start("one").fetch, scene.start("other").fetch
        assert one.queue == other.queue
        assert one.name != other.name
        assert one.queue is not None
        assert (one.queue.places, one.queue.length) == (3, 96)

    def test_an_endpoint_that_two_issuers_have_in_common_is_one(self) -> None:
        scene = Scene(
            issuer(),
            issuer(OTHER),
            issuer("https://third.example.com", asked(endpoint=f"{ENDPOINT}/3")),
            select=lambda token: f"https://{token}.example.com",
        )
        one, other, third = (scene.start(name).fetch for name in ("as", "other", "third"))
        assert one.queue is not None
        assert other.queue is not None
        assert third.queue is not None
        assert one.queue.name == other.queue.name != third.queue.name


class TestMetadata:
    """`endpoint=None`: what the issuer's metadata names."""

    def scene(self, **options: Any) -> Scene:
        of = {"url": ISSUER, "jwks": JWKS, "introspection": asked(endpoint=None), **options}
        scene = Scene(Issuer(**of))
        scene.replies[DISCOVERED] = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT}
        return scene

    def test_it_is_looked_up_once_an_hour_beside_requests(self) -> None:
        scene = self.scene()
        scene.validate("one")
        scene.validate("two")
        assert scene.asked == [DISCOVERED, ENDPOINT, ENDPOINT]
        scene.tick = 3600
        scene.tells[ENDPOINT] = INACTIVE
        scene.replies[DISCOVERED] = {"issuer": ISSUER, "introspection_endpoint": f"{ENDPOINT}/2"}
        scene.tells[f"{ENDPOINT}/2"] = {"active": 1}
        for token in ("three", "four", "five"):  # nobody waits for it
            scene.refused(token)
        assert scene.asked[3:] == [ENDPOINT] * 3
        assert scene.run_due() == 1
        scene.refused("six")
        assert scene.asked[6:] == [DISCOVERED, f"{ENDPOINT}/2"]

    def test_the_other_address_is_tried(self) -> None:
        scene = self.scene()
        scene.replies[DISCOVERED] = 404
        scene.replies[APPENDED] = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT}
        scene.validate()
        assert scene.asked == [DISCOVERED, APPENDED, ENDPOINT]

    def test_where_the_operator_names_the_document_it_is_that_one(self) -> None:
        scene = self.scene(jwks=None, metadata_url="https://as.example.com/meta")
        scene.replies["https://as.example.com/meta"] = scene.replies[DISCOVERED]
        scene.validate()
        assert scene.asked == ["https://as.example.com/meta", ENDPOINT]

    @pytest.mark.parametrize(
        "document",
        [
            500,
            "ConnectError",
            b"junk",
            {},
            {"issuer": "https://evil.example.com", "introspection_endpoint": ENDPOINT},  # M01, C58
            {"issuer": ISSUER},
            {"issuer": ISSUER, "introspection_endpoint": None},
            {"issuer": ISSUER, "introspection_endpoint": "http://as.example.com/introspect"},  # M02
            {"issuer": ISSUER, "introspection_endpoint": "http://127.0.0.1/introspect"},
            {"issuer": ISSUER, "introspection_endpoint": "file:///etc/passwd"},
            {"issuer": ISSUER, "introspection_endpoint": [ENDPOINT]},
        ],
    )
    def test_without_a_sound_one_it_is_503_and_no_token_leaves(self, document: Reply) -> None:
        scene = self.scene()
        scene.replies[DISCOVERED] = scene.replies[APPENDED] = document
        for _ in range(FAILURES):
            assert scene.unavailable().reason is UNAVAILABLE
        assert scene.questions == []
        requests = len(scene.requests)
        scene.unavailable()
        assert len(scene.requests) == requests  # left alone, like an endpoint in trouble

    def test_the_last_one_serves_on_while_the_metadata_is_out_of_reach(self) -> None:
        scene = self.scene()
        scene.validate("one")
        scene.tells[ENDPOINT] = INACTIVE
        scene.replies[DISCOVERED] = 500
        for tick in range(3600, 7200, 60):
            scene.tick = tick
            scene.refused(f"token-{tick}")
            assert scene.run_due() == 1
        calls = scene.calls
        scene.tick = 7201  # its last good document is an hour past its time
        scene.refused("the-last-one")
        scene.run_due()
        scene.unavailable()
        assert scene.calls == calls + 1

    def test_an_impostor_ends_that_at_once(self) -> None:
        scene = self.scene()
        scene.validate("one")
        scene.replies[DISCOVERED] = {"issuer": "https://evil.example.com", "introspection_endpoint": ENDPOINT}
        scene.tick = 3600
        scene.tells[ENDPOINT] = INACTIVE
        scene.refused("two")
        scene.run_due()
        assert "another issuer" in scene.unavailable("three").detail

    def test_who_stands_in_line_while_it_gets_lost_asks_nobody(self) -> None:
        scene = self.scene()
        scene.validate("one")
        miss = scene.start("two")
        scene.tick = 3600
        scene.replies[DISCOVERED] = {"issuer": "https://evil.example.com", "introspection_endpoint": ENDPOINT}
        scene.tells[ENDPOINT] = INACTIVE
        scene.refused("three")
        scene.run_due()
        calls = scene.calls
        with pytest.raises(Unavailable):
            miss.resume(scene.fly(miss.fetch), scene.now, scene.tick)
        assert scene.calls == calls

    @pytest.mark.parametrize("status", [404, 410])
    def test_an_endpoint_that_moved_is_looked_up_beside_requests(self, status: int) -> None:
        scene = self.scene()
        scene.validate("one")
        scene.tells[ENDPOINT] = status
        scene.replies[DISCOVERED] = {"issuer": ISSUER, "introspection_endpoint": f"{ENDPOINT}/2"}
        scene.tells[f"{ENDPOINT}/2"] = active()
        scene.unavailable("two")
        scene.unavailable("two")  # this one finds that it is to be looked up
        assert scene.run_due() == 1
        scene.validate("two")

    def test_one_that_is_never_there_is_not_looked_up_each_time(self) -> None:
        scene = self.scene()
        scene.validate("one")
        scene.tells[ENDPOINT] = 404
        looked = len(scene.requests) - scene.calls
        for number in range(100):
            scene.unavailable(f"token-{number}")
            scene.run_due()
        assert len(scene.requests) - scene.calls - looked <= 5

    def test_whoever_finds_the_breaker_open_looks_nothing_up(self) -> None:
        scene = self.scene()
        scene.replies[DISCOVERED] = 500
        waiting = [scene.start(f"token-{number}") for number in range(FAILURES + 3)]
        for miss in waiting:
            with pytest.raises(Unavailable):
                miss.resume(scene.fly(miss.fetch), scene.now, scene.tick)
        assert len(scene.requests) == FAILURES

    def test_a_look_that_comes_back_too_late_is_503(self) -> None:
        scene = self.scene()
        miss = scene.start()
        with pytest.raises(Unavailable, match="did not come in time"):
            miss.resume(None, scene.now, scene.tick)

    def test_a_found_one_is_no_proof_that_it_answers(self) -> None:
        # The breaker is open; the probe finds the metadata, and is still a probe for the endpoint.
        scene = self.scene()
        scene.replies[DISCOVERED] = 500
        for _ in range(FAILURES):
            scene.unavailable()
        scene.replies[DISCOVERED] = {"issuer": ISSUER, "introspection_endpoint": ENDPOINT}
        scene.tells[ENDPOINT] = 500
        scene.tick = 1
        scene.unavailable()
        assert scene.calls == 1
        assert scene.introspector().health(1)["state"] == "paused"
        scene.tells[ENDPOINT] = active()
        scene.tick = 3
        scene.validate()
        assert scene.introspector().health(3)["state"] == "ready"


def test_how_it_is_shows_in_the_health_of_the_issuer() -> None:
    scene = Scene()
    introspector = scene.introspector()
    assert introspector.health(0) == {"state": "ready", "next_try": 0.0, "last_error": None}
    scene.tells[ENDPOINT] = 500
    for _ in range(FAILURES):
        scene.unavailable()
    assert introspector.health(0) == {"state": "paused", "next_try": 1.0, "last_error": "status 500"}
    assert introspector.health(1) == {"state": "paused", "next_try": 0.0, "last_error": "status 500"}
