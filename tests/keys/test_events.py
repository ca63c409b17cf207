"""What the operator hears: an event for each occurrence, log lines in bounds, and never a word of a token."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator

import pytest

from tests.forge import EVIL_P256
from tests.keys.stage import Stage, Turned, settle
from tokenguard import AccessDenied, AccessToken, InvalidToken, Issuer, Reason, TokenValidator
from tokenguard.events import (
    Event,
    KeySkipped,
    KeysRefreshed,
    KidRefused,
    RefreshFailed,
    RequestAccepted,
    RequestRefused,
    ServingStale,
)
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

NASTY = [
    pytest.param("a\r\nWARNING forged line", id="CRLF"),
    pytest.param("\x1b[2J\x1b]0;owned\x07", id="ANSI"),
    pytest.param("\u202egnp.exe\u2028\u0085", id="unicode"),
    pytest.param("x" * 10_000, id="long"),
    pytest.param("'; drop table keys; --" * 20, id="quotes"),
]


def _is_harmless(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= 128


class TestKeys:
    def test_a_rotation_tells_what_came_and_what_went(self, stage: Stage, issuer: LocalIssuer) -> None:
        old = issuer.kid()
        stage.validator.warm_up()
        new = issuer.rotate()
        issuer.withdraw(old)
        assert stage.status(issuer.mint()) == 200
        refreshed = [event for event in stage.events if isinstance(event, KeysRefreshed)]
        assert [(event.added, event.removed) for event in refreshed] == [
            ((f"'{old}'",), ()),
            ((f"'{new}'",), (f"'{old}'",)),
        ]
        assert refreshed[1].key_ids == (f"'{new}'",)
        assert (refreshed[1].issuer, refreshed[1].lifetime) == (issuer.url, 300)

    def test_a_key_replaced_under_its_kid_both_came_and_went(self, stage: Stage, issuer: LocalIssuer) -> None:
        stage.validator.warm_up()
        issuer.replace(issuer.kid())
        assert stage.status(issuer.mint()) == 200
        refreshed = stage.events[-2]
        assert isinstance(refreshed, KeysRefreshed)
        assert refreshed.added == refreshed.removed == (f"'{issuer.kid()}'",)

    def test_a_confirmed_set_is_told_and_nothing_came_or_went(self, stage: Stage, issuer: LocalIssuer) -> None:
        issuer.cache_control = "max-age=600"
        token = stage.warm()
        stage.tick.now += 590
        assert stage.status(token) == 200
        settle()
        (refreshed,) = (event for event in stage.events if isinstance(event, KeysRefreshed))
        assert (refreshed.added, refreshed.removed, refreshed.lifetime) == ((), (), 600)

    def test_an_outage_is_told_at_each_try_and_its_end_too(self, stage: Stage, issuer: LocalIssuer) -> None:
        token = stage.warm()
        issuer.fail(Fault.SERVER_ERROR)
        for _ in range(2):
            stage.tick.now += 290
            assert stage.status(token) == 200
            settle()
        told = [event for event in stage.events if not isinstance(event, RequestAccepted)]
        assert [type(event) for event in told] == [RefreshFailed, RefreshFailed, ServingStale]
        first, second, stale = told
        assert isinstance(first, RefreshFailed)
        assert isinstance(second, RefreshFailed)
        assert isinstance(stale, ServingStale)
        assert (first.failures, first.stale) == (1, False)
        assert (second.failures, second.stale) == (2, True)
        assert second.trouble == f"{issuer.jwks_uri}: status 500"
        assert 1.5 <= second.retry_in <= 2
        assert (stale.age, stale.ends_in) == (580, 300 + 3600 - 580)
        issuer.recover()
        stage.tick.now += 2
        assert stage.status(token) == 200
        settle()
        assert isinstance(stage.events[-1], KeysRefreshed)

    @pytest.mark.parametrize("kid", NASTY)
    def test_a_key_of_no_use_is_told_once_and_quoted(
        self, stage: Stage, issuer: LocalIssuer, kid: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        issuer.publish({"kty": "AKP", "kid": kid})
        token = stage.warm()
        stage.validator = stage.another()
        for _ in range(3):
            stage.tick.now += 290
            assert stage.status(token) == 200
            settle()
        (skipped,) = (event for event in stage.events if isinstance(event, KeySkipped))
        assert skipped.why == "unsupported kty or crv"
        assert _is_harmless(skipped.kid)
        assert all(message.isprintable() for message in caplog.messages)


class TestRequests:
    @pytest.mark.parametrize("kid", NASTY)
    def test_a_strange_kid_is_quoted_and_cut(
        self, stage: Stage, issuer: LocalIssuer, kid: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage.warm()
        assert stage.status(issuer.mint(header={"kid": kid})) == 401
        (refused,) = (event for event in stage.events if isinstance(event, KidRefused))
        assert refused.issuer == issuer.url
        assert refused.kid is not None
        assert _is_harmless(refused.kid)
        for message in caplog.messages:
            assert message.isascii()
            assert message.isprintable()
            assert len(message) < 300

    def test_a_missing_kid_that_several_keys_fit_is_told_as_ambiguous(self, stage: Stage, issuer: LocalIssuer) -> None:
        issuer.kid()
        issuer.rotate()
        stage.validator.warm_up()
        assert stage.status(issuer.mint(omit_header=["kid"])) == 401
        assert stage.events[1:] == [RequestRefused(reason=Reason.AMBIGUOUS_KEY, issuer=issuer.url, client_id=None)]

    def test_each_request_is_told_with_its_client_only_if_that_was_proven(
        self, stage: Stage, issuer: LocalIssuer
    ) -> None:
        def refuse_seven(token: AccessToken) -> None:
            if token.subject == "user-7":
                raise AccessDenied

        validator = TokenValidator(
            issuer.url, audience=issuer.audience, on_event=stage.events.append, checks=[refuse_seven]
        )
        validator.warm_up()
        stage.events.clear()
        for token in (
            issuer.mint(client_id="shop"),
            issuer.mint(client_id="shop", subject="user-7"),
            issuer.mint(client_id="shop", key=EVIL_P256),
            issuer.mint(client_id="shop", expires_in=-900),
            issuer.mint({"iss": "https://evil.example"}, client_id="shop"),
            "junk",
        ):
            stage.validator = validator
            stage.status(token)
        url = issuer.url
        assert [event for event in stage.events if not isinstance(event, KeysRefreshed)] == [
            RequestAccepted(issuer=url, client_id="shop"),
            RequestRefused(reason=Reason.ACCESS_DENIED, issuer=url, client_id="shop"),
            RequestRefused(reason=Reason.BAD_SIGNATURE, issuer=url, client_id=None),
            RequestRefused(reason=Reason.EXPIRED, issuer=url, client_id=None),
            RequestRefused(reason=Reason.WRONG_ISSUER, issuer=None, client_id=None),
            RequestRefused(reason=Reason.MALFORMED, issuer=None, client_id=None),
        ]
        validator.close()

    def test_no_event_and_no_log_line_has_a_word_of_a_token(
        self, stage: Stage, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage.warm()
        good = issuer.mint({"email": "alice@example.com"}, subject="alice")
        head, payload, signature = good.split(".")
        tokens = [
            good,
            f"{head}.{payload}.{signature[:-4]}AAAA",
            f"{head}.{payload}",
            f"{head}.{payload}.{signature}.{signature}",
            f"{head}.{payload[:-3]}.{signature}",
            issuer.mint(header={"kid": "made-up"}, subject="alice"),
            issuer.mint(key=EVIL_P256, subject="alice"),
            issuer.mint(expires_in=-900, subject="alice"),
            issuer.mint(audience="https://other.example.com", subject="alice"),
        ]
        with caplog.at_level(logging.DEBUG, "tokenguard"):
            statuses = [stage.status(token) for token in tokens]
        settle()
        assert statuses == [200] + 8 * [401]
        told = "\n".join([*map(repr, stage.events), *caplog.messages])
        assert "alice" not in told
        for token in tokens:
            for segment in token.split("."):
                for start in range(0, len(segment) - 12, 4):
                    assert segment[start : start + 12] not in told


class TestCallback:
    @pytest.fixture
    def raising(self, issuer: LocalIssuer) -> Iterator[TokenValidator]:
        def on_event(event: Event) -> None:
            raise ZeroDivisionError("the application's own")

        with TokenValidator(issuer.url, audience=issuer.audience, on_event=on_event) as validator:
            yield validator

    def test_one_that_raises_is_logged_and_changes_no_verdict(
        self, issuer: LocalIssuer, raising: TokenValidator, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert raising.validate(issuer.mint()).subject == "user-1"
        with pytest.raises(InvalidToken):
            raising.validate(issuer.mint(expires_in=-900))
        with pytest.raises(InvalidToken):
            raising.validate(issuer.mint(header={"kid": "made-up"}))
        assert raising.ready
        logged = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert logged[0] == "on_event raised for KeysRefreshed"

    def test_one_that_raises_for_a_thousand_requests_does_not_flood_the_log(
        self, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        def on_event(event: Event) -> None:
            raise ZeroDivisionError

        with TokenValidator(issuer.url, audience=issuer.audience, on_event=on_event, monotonic=Turned()) as validator:
            token = issuer.mint()
            for _ in range(1000):
                validator.validate(token)
        loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(loud) <= 10

    def test_it_is_called_in_the_order_of_things(self, stage: Stage, issuer: LocalIssuer) -> None:
        assert stage.status(issuer.mint()) == 200
        assert [type(event) for event in stage.events] == [KeysRefreshed, RequestAccepted]

    def test_one_that_asks_for_the_health_gets_it(self, issuer: LocalIssuer) -> None:
        states: list[str] = []

        def on_event(event: Event) -> None:
            states.append(validator.health()[issuer.url]["state"])

        with TokenValidator(issuer.url, audience=issuer.audience, on_event=on_event) as validator:
            validator.validate(issuer.mint())
        assert states == ["fresh", "fresh"]


class TestLog:
    def test_refusals_are_one_warning_per_reason_and_second_also_from_64_threads(
        self, stage: Stage, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage.warm()
        caplog.clear()
        expired = issuer.mint(expires_in=-900)
        threads = [
            threading.Thread(target=lambda: [stage.status(token) for token in ("junk", expired) for _ in range(20)])
            for _ in range(64)
        ]
        for second in range(3):
            stage.tick.now += second
            stage.status("junk")
            stage.status(expired)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len([warning for warning in warnings if "expired" in warning]) == 3
        assert len([warning for warning in warnings if "malformed" in warning]) == 3

    def test_a_set_full_of_useless_keys_is_no_flood_of_warnings(
        self, stage: Stage, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(90):
            issuer.publish({"kty": "AKP", "kid": f"later-{number}"})
        assert stage.status(issuer.mint()) == 200
        settle()
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) <= 1
        assert len([event for event in stage.events if isinstance(event, KeySkipped)]) == 90

    def test_an_address_from_the_metadata_is_cut_like_any_text_of_others(
        self, stage: Stage, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        issuer.metadata["jwks_uri"] = issuer.jwks_uri + "/" + "x" * 10_000
        assert stage.status(issuer.mint()) == 503
        settle()
        (failed,) = (event for event in stage.events if isinstance(event, RefreshFailed))
        for text in (failed.trouble, stage.health["last_error"], *caplog.messages):
            assert not re.search("x{129}", text)


def test_nobody_has_to_listen(issuer: LocalIssuer) -> None:
    with TokenValidator(Issuer(issuer.url), audience=issuer.audience) as validator:
        assert validator.validate(issuer.mint()).subject == "user-1"


def test_events_are_values() -> None:
    event = KidRefused(issuer="https://as.example.com", kid=None)
    assert event == KidRefused(issuer="https://as.example.com", kid=None)
    assert hash(event)
    with pytest.raises(AttributeError):
        event.kid = "x"  # type: ignore[misc]
