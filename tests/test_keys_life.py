"""The life of a fetched key set, by a fake clock: DESIGN's *Keys*, and the picture in `_remote_keys.py`."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.forge import ISSUER, P256, RSA, RSA_PSS, public_jwk
from tests.steps import World
from tokenguard import InvalidToken, Issuer, KeyPolicy, Reason, Unavailable
from tokenguard._fetch import Answer, Fetch
from tokenguard._keys.jwk import Key
from tokenguard._keys.remote import RemoteKeys
from tokenguard.events import KeySkipped, KeysRefreshed, KidRefused, RefreshFailed, ServingStale

URL = "https://keys.example.com/jwks"
A, B = ({**public_jwk(key), "kid": kid} for key, kid in ((RSA, "a"), (RSA_PSS, "b")))
A_REPLACED = {**public_jwk(RSA_PSS), "kid": "a"}


class Scene(World):
    """One key store and its world."""

    def __init__(self, **policy: float) -> None:
        super().__init__()
        self.replies[URL] = {"keys": [A]}
        self.keys = self.store(Issuer(ISSUER, jwks_uri=URL, keys=KeyPolicy(**policy)))  # type: ignore[arg-type]

    def look(self, kid: str = "a", *, attempt: int = 0) -> Key | Fetch:
        return self.keys.find(kid, "RS256", self.tick, attempt=attempt)

    def fetch(self, kid: str = "a") -> Fetch:
        """Look, and expect that something has to be fetched."""
        found = self.look(kid)
        assert isinstance(found, Fetch)
        return found

    def key(self, kid: str = "a") -> Key:
        return self.get(self.keys, kid)

    def known(self, kid: str = "a") -> Key:
        """Look, and expect not to wait."""
        found = self.look(kid)
        assert isinstance(found, Key)
        return found

    def state(self) -> str:
        return str(self.keys.health(self.tick)["state"])


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def warm(scene: Scene) -> Scene:
    scene.key()
    return scene


class TestLifetime:
    def test_cold_the_first_look_fetches(self, scene: Scene) -> None:
        assert scene.state() == "cold"
        assert scene.key().kid == "a"
        assert scene.asked == [URL]
        assert scene.state() == "fresh"

    def test_fresh_a_known_kid_never_fetches(self, warm: Scene) -> None:
        key = warm.known()
        warm.tick = 239
        assert warm.known() is key
        assert warm.run_due() == 0

    def test_in_the_last_part_one_fetch_goes_on_beside_and_nobody_waits(self, warm: Scene) -> None:
        warm.tick = 240
        assert [warm.known() for _ in range(1000)]
        assert warm.run_due() == 1000  # left by each, and but one flies
        assert warm.asked == [URL, URL]
        assert warm.keys.health(240)["next_refresh"] == 240

    def test_while_that_fetch_hangs_nothing_more_is_left(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        steps = warm.due.popleft().steps(240)
        next(steps)
        warm.known()
        assert not warm.due
        steps.close()

    @pytest.mark.parametrize(("chance", "due_at"), [(0.0, 240.0), (0.5, 255.0), (1.0, 270.0)])
    def test_the_moment_is_left_to_chance(self, scene: Scene, chance: float, due_at: float) -> None:
        scene.chance = chance
        scene.key()
        assert scene.keys.health(0)["next_refresh"] == due_at

    def test_the_last_part_is_a_fifth_at_most(self) -> None:
        scene = Scene(lifetime=100, min_lifetime=10)
        scene.key()
        assert scene.keys.health(0)["next_refresh"] == 80

    def test_an_unchanged_key_keeps_its_object(self, warm: Scene) -> None:
        key = warm.known()
        warm.tick = 250
        warm.known()
        warm.run_due()
        assert warm.known() is key

    def test_whoever_sees_the_new_time_sees_the_new_keys(self) -> None:
        # `attend_at` is read first and without a lock: with the old keys under it, a withdrawn one would serve on.
        seen: list[set[str]] = []

        class Watched(RemoteKeys):
            @property
            def attend_at(self) -> float:
                return self._attend_at

            @attend_at.setter
            def attend_at(self, tick: float) -> None:
                self._attend_at = tick
                if tick > 0:  # before the first fetch there is no time, and are no keys
                    seen.append({kid for kid, _ in self.at_hand if kid is not None})

        scene = Scene()
        issuer = Issuer(ISSUER, jwks_uri=URL)
        scene.keys = Watched(issuer, scene.due, scene.events.append, lambda: scene.chance)
        scene.key()
        scene.replies[URL] = {"keys": [B]}
        scene.tick = 250
        scene.known()
        scene.run_due()
        assert seen == [{"a"}, {"b"}]

    def test_the_lifetime_counts_from_the_answer(self, scene: Scene) -> None:
        scene.takes = 2
        scene.key()
        scene.tick = 301
        assert scene.state() == "fresh"

    def test_a_withdrawn_key_is_refused_once_the_set_was_fetched_anew(self, warm: Scene) -> None:
        warm.replies[URL] = {"keys": [B]}
        warm.tick = 240
        warm.known()
        warm.run_due()
        with pytest.raises(InvalidToken) as caught:
            warm.key()
        assert caught.value.reason is Reason.UNKNOWN_KEY

    def test_at_its_end_a_set_still_serves_and_is_fetched_beside(self, warm: Scene) -> None:
        for warm.tick in (300, 599):
            assert warm.state() == "stale"
            warm.known()
        warm.run_due()
        assert warm.state() == "fresh"

    def test_after_a_longer_pause_the_issuer_is_asked_first(self, warm: Scene) -> None:
        warm.replies[URL] = {"keys": [B]}
        warm.tick = 600
        assert isinstance(warm.look(), Fetch)
        with pytest.raises(InvalidToken, match="no key with kid 'a'"):
            warm.key()

    @pytest.mark.parametrize("reply", [500, "timed out"])
    def test_and_if_it_does_not_answer_that_is_an_outage(self, warm: Scene, reply: int | str) -> None:
        warm.replies[URL] = reply
        warm.tick = 1500
        assert warm.key().kid == "a"
        warm.known()
        assert len(warm.asked) == 2

    def test_whoever_loses_patience_with_that_is_served_by_what_is_there(self, warm: Scene) -> None:
        warm.tick = 1500
        steps = warm.fetch().steps(1500)
        next(steps)
        assert isinstance(warm.look(attempt=1), Key)
        steps.close()


class TestHttpCaching:
    @pytest.mark.parametrize(
        ("headers", "lifetime"),
        [
            ({}, 300),
            ({"cache-control": "max-age=600"}, 600),
            ({"cache-control": "public, MAX-AGE=600, must-revalidate"}, 600),
            ({"cache-control": 'max-age="600"'}, 600),
            ({"cache-control": "max-age=600", "age": "100"}, 500),
            ({"cache-control": "max-age=600", "age": "590"}, 60),
            ({"cache-control": "max-age=600", "age": "junk"}, 600),
            ({"cache-control": "max-age=1"}, 60),
            ({"cache-control": "max-age=0"}, 60),
            ({"cache-control": "max-age=86400"}, 3600),
            ({"cache-control": "no-store"}, 300),
            ({"cache-control": "no-cache, max-age=900"}, 300),
            ({"cache-control": "max-age=-1"}, 300),
            ({"cache-control": "max-age=1e9"}, 300),
            ({"cache-control": "max-age=99999999999999999999"}, 300),
            ({"cache-control": "max-age"}, 300),
            ({"cache-control": "max-age=600, max-age=900"}, 600),
            ({"cache-control": ",,;=\x00"}, 300),
        ],
        ids=str,
    )
    def test_max_age_is_honoured_within_bounds(self, scene: Scene, headers: dict[str, str], lifetime: float) -> None:
        scene.headers = headers
        scene.key()
        refreshed = scene.events[0]
        assert isinstance(refreshed, KeysRefreshed)
        assert refreshed.lifetime == lifetime

    def test_a_version_is_asked_for_and_304_confirms_the_keys_at_hand(self, scene: Scene) -> None:
        scene.headers = {"etag": '"v1"', "last-modified": "Sat, 21 Nov 2026 07:28:00 GMT"}
        key = scene.key()
        scene.replies[URL] = 304
        scene.headers = {"cache-control": "max-age=600"}
        scene.tick = 240
        scene.known()
        scene.run_due()
        assert scene.requests[1].known == {
            "If-None-Match": '"v1"',
            "If-Modified-Since": "Sat, 21 Nov 2026 07:28:00 GMT",
        }
        assert scene.known() is key
        assert scene.keys.health(240)["next_refresh"] == 600 - 60
        scene.tick = 800
        scene.known()
        scene.run_due()
        assert scene.requests[2].known == scene.requests[1].known

    @pytest.mark.parametrize("etag", ['"v\xfc"', "x" * 300, "", " ", "a\nb"])
    def test_an_odd_version_is_never_sent_back(self, scene: Scene, etag: str) -> None:
        scene.headers = {"etag": etag}
        scene.key()
        scene.tick = 240
        scene.known()
        scene.run_due()
        assert scene.requests[1].known == {}

    def test_after_a_failure_the_whole_is_asked_for(self, scene: Scene) -> None:
        scene.headers = {"etag": '"v1"'}
        scene.key()
        scene.replies[URL] = 400
        for scene.tick in (240, 241):
            scene.known()
            scene.run_due()
        assert [request.known for request in scene.requests] == [{}, {"If-None-Match": '"v1"'}, {}]

    def test_an_old_age_does_not_outlive_its_answer(self, scene: Scene) -> None:
        scene.headers = {"etag": '"v1"', "age": "500", "cache-control": "max-age=600", "x-more": "x"}
        scene.key()
        scene.headers = {}
        scene.replies[URL] = 304
        scene.tick = 100
        scene.known()
        scene.run_due()
        assert scene.events[-1] == KeysRefreshed(issuer=ISSUER, key_ids=("'a'",), added=(), removed=(), lifetime=600)
        assert scene.keys._state.headers == {"etag": '"v1"', "cache-control": "max-age=600"}

    def test_nothing_is_confirmed_that_was_not_asked(self, scene: Scene) -> None:
        scene.replies[URL] = 304
        with pytest.raises(Unavailable, match="status 304"):
            scene.key()

    def test_without_a_version_nothing_is_asked(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        warm.run_due()
        assert warm.requests[1].known == {}


class TestUnknownKid:
    def test_a_rotation_is_picked_up_by_the_first_token_that_shows_it(self, warm: Scene) -> None:
        warm.replies[URL] = {"keys": [A, B]}
        warm.tick = 1
        assert warm.key("b").kid == "b"
        assert len(warm.asked) == 2

    @pytest.mark.parametrize("reply", [{"keys": [A]}, 500, "timed out"], ids=["healthy", "500", "hangs"])
    def test_a_flood_causes_two_fetches_in_30_s_fifteen_apart(self, warm: Scene, reply: object) -> None:
        warm.replies[URL] = reply  # type: ignore[assignment]
        asked_at = []
        for tenth in range(300):
            warm.tick = tenth / 10
            before = len(warm.asked)
            with pytest.raises((InvalidToken, Unavailable)):
                warm.key(f"made-up-{tenth}")
            warm.known()
            if len(warm.asked) > before:
                asked_at.append(warm.tick)
        assert asked_at == [0, 15]

    def test_a_rotation_under_such_a_flood_is_seen_within_30_s(self, warm: Scene) -> None:
        seen_at = None
        for tenth in range(600):
            warm.tick = tenth / 10
            if tenth == 10:
                warm.replies[URL] = {"keys": [B]}
            with pytest.raises(InvalidToken):
                warm.key(f"made-up-{tenth}")
            if tenth >= 10 and seen_at is None:
                with suppress(InvalidToken):
                    warm.key("b")
                    seen_at = warm.tick
        assert seen_at == 15.0

    def test_it_is_undecided_while_the_last_fetch_failed(self, warm: Scene) -> None:
        warm.replies[URL] = 500
        with pytest.raises(Unavailable, match="status 500"):
            warm.key("b")
        with pytest.raises(Unavailable):
            warm.key("c")  # within the cooldown
        assert len(warm.asked) == 2
        warm.known()

    def test_a_failed_forced_fetch_brings_the_next_refresh_no_nearer(self, warm: Scene) -> None:
        warm.replies[URL] = 500
        with pytest.raises(Unavailable):
            warm.key("b")
        warm.tick = 100
        warm.known()
        assert not warm.due

    def test_during_a_fetch_it_waits_for_that_one(self, warm: Scene) -> None:
        steps = warm.fetch("b").steps(0)
        next(steps)
        assert isinstance(warm.look("c"), Fetch)
        with pytest.raises(Unavailable, match="did not come in time"):
            warm.look("c", attempt=2)  # out of patience
        steps.close()

    def test_one_that_came_late_in_anothers_fetch_may_force_its_own(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        steps = warm.due.popleft().steps(240)
        next(steps)  # the answer, without b, is on its way
        waiting = warm.fetch("b")
        with pytest.raises(StopIteration):
            steps.send(warm.answer(URL))
        warm.replies[URL] = {"keys": [A, B]}
        warm.run(waiting)  # that flight has landed: nothing to do
        again = warm.look("b", attempt=1)
        assert isinstance(again, Fetch)
        warm.run(again)
        assert isinstance(warm.look("b", attempt=2), Key)

    def test_it_is_told(self, warm: Scene) -> None:
        with pytest.raises(InvalidToken):
            warm.key("x\n")
        assert warm.events[-1] == KidRefused(issuer=ISSUER, kid="'x\\n'")

    def test_a_missing_kid_is_told_as_such(self, warm: Scene) -> None:
        warm.replies[URL] = {"keys": [A]}
        for attempt in (1, 2):
            found = warm.keys.find(None, "ES256", 0, attempt=attempt) if attempt == 1 else None
            if isinstance(found, Fetch):
                warm.run(found)
        with pytest.raises(InvalidToken, match="no key without a kid for ES256"):
            warm.keys.find(None, "ES256", 0, attempt=2)
        assert warm.events[-1] == KidRefused(issuer=ISSUER, kid=None)


class TestBadSignature:
    def test_it_may_fetch_once_in_30_s(self, warm: Scene) -> None:
        fetched_at = []
        for second in range(90):
            fetch = warm.keys.doubt(second)
            warm.tick = second
            if fetch is not None:
                warm.run(fetch)
                fetched_at.append(second)
        assert fetched_at == [0, 30, 60]

    def test_a_key_replaced_under_its_kid_is_found_so(self, warm: Scene) -> None:
        old = warm.known()
        warm.replies[URL] = {"keys": [A_REPLACED]}
        fetch = warm.keys.doubt(0)
        assert fetch is not None
        warm.run(fetch)
        assert warm.known() != old

    def test_it_shares_the_budget_of_unknown_kids_and_leaves_them_one_of_two(self, warm: Scene) -> None:
        asked: list[tuple[int, str]] = []
        for second in range(60):
            warm.tick = second
            fetch = warm.keys.doubt(second)
            if fetch is not None:
                warm.run(fetch)
                asked.append((second, "signature"))
            before = len(warm.asked)
            with pytest.raises(InvalidToken):
                warm.key(f"made-up-{second}")
            if len(warm.asked) > before:
                asked.append((second, "kid"))
        assert asked == [(0, "signature"), (0, "kid"), (30, "signature"), (30, "kid")]

    def test_who_comes_during_such_a_fetch_waits_for_it(self, warm: Scene) -> None:
        fetch = warm.keys.doubt(0)
        assert fetch is not None
        steps = fetch.steps(0)
        next(steps)
        assert warm.keys.doubt(1) is not None
        steps.close()

    def test_who_comes_during_another_fetch_does_not(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        steps = warm.due.popleft().steps(240)
        next(steps)
        assert warm.keys.doubt(240) is None
        steps.close()


class TestOutage:
    def test_the_last_good_set_serves_an_hour_past_its_lifetime_and_then_503(self, warm: Scene) -> None:
        warm.replies[URL] = "ConnectError"
        states = {}
        for warm.tick in range(240, 4000, 5):
            with suppress(Unavailable):
                warm.key()
            warm.run_due()
            states[warm.tick] = warm.state()
        assert {state for tick, state in states.items() if tick < 300} == {"fresh"}
        assert {state for tick, state in states.items() if 300 <= tick < 3900} == {"stale"}
        assert {state for tick, state in states.items() if tick >= 3900} == {"down"}
        with pytest.raises(Unavailable, match="ConnectError"):
            warm.key()

    def test_retries_slow_down_to_one_a_minute(self, warm: Scene) -> None:
        warm.replies[URL] = 500
        asked_at = []
        for warm.tick in range(240, 540):
            warm.known()
            if warm.run_due():
                asked_at.append(warm.tick)
        assert asked_at == [240, 241, 243, 247, 255, 271, 303, 363, 423, 483]

    def test_by_chance_up_to_a_quarter_sooner(self, scene: Scene) -> None:
        scene.chance = 1.0
        scene.replies[URL] = 500
        with pytest.raises(Unavailable):
            scene.key()
        assert scene.keys.health(0)["next_refresh"] == 0.75

    @pytest.mark.parametrize(
        ("retry_after", "wait"), [("7", 7), ("0", 1), ("100000", 60), ("junk", 1), ("Sat, 21 Nov 2026 07:28:00 GMT", 1)]
    )
    def test_a_server_that_asks_to_wait_is_heard_within_reason(
        self, warm: Scene, retry_after: str, wait: float
    ) -> None:
        warm.replies[URL] = 429
        warm.headers = {"retry-after": retry_after}
        warm.tick = 240
        warm.known()
        warm.run_due()
        assert warm.keys.health(240)["next_refresh"] == wait

    def test_it_ends_with_the_first_good_answer(self, warm: Scene) -> None:
        warm.replies[URL] = 500
        for warm.tick in (240, 241, 243, 300):
            warm.known()
            warm.run_due()
        warm.replies[URL] = {"keys": [A, B]}
        warm.tick = 400
        warm.known()
        warm.run_due()
        assert warm.state() == "fresh"
        assert warm.keys.health(400)["last_error"] is None
        warm.known("b")

    @pytest.mark.parametrize(
        ("reply", "trouble"),
        [
            ("ConnectError", "ConnectError"),
            (500, "status 500"),
            (302, "status 302"),
            (404, "status 404"),
            (b"<html>", "no JSON object"),
            (b'{"keys": [', "no JSON object"),
            (b"[]", "no JSON object"),
            (b'{"keys": [], "keys": []}', "no JSON object"),
            (b'{"keys": ' + b"[" * 5000 + b"]" * 5000 + b"}", "no JSON object"),
            ({}, "no key set"),
            ({"keys": []}, "no usable key"),
            ({"keys": [{"kty": "oct", "k": "AAAA"}]}, "no usable key"),
            ({"keys": [A] * 101}, "101 keys, at most 100"),
            ({"keys": [public_jwk(P256, use="enc")]}, "use is not sig"),
        ],
        ids=lambda said: str(said)[:30],
    )
    def test_an_answer_without_usable_key_never_replaces_a_good_set(
        self, warm: Scene, reply: object, trouble: str
    ) -> None:
        warm.replies[URL] = reply  # type: ignore[assignment]
        warm.tick = 240
        warm.known()
        warm.run_due()
        warm.known()
        assert trouble in warm.keys.health(240)["last_error"]
        cold = Scene()
        cold.replies[URL] = reply  # type: ignore[assignment]
        with pytest.raises(Unavailable, match=trouble) as caught:
            cold.key()
        assert caught.value.reason is Reason.KEYS_UNAVAILABLE


class TestCold:
    def test_failures_are_retried_ever_more_slowly(self, scene: Scene) -> None:
        scene.replies[URL] = 500
        asked_at = []
        for scene.tick in range(200):
            before = len(scene.asked)
            with pytest.raises(Unavailable):
                scene.key()
            if len(scene.asked) > before:
                asked_at.append(scene.tick)
        assert asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183]
        assert scene.state() == "down"

    def test_retry_after_says_when_the_next_fetch_may_start(self, scene: Scene) -> None:
        scene.replies[URL] = 500
        for tick, retry_after in ((0, 1), (1, 2), (1.5, 2), (3, 4), (7, 8), (14, 1)):
            scene.tick = tick
            with pytest.raises(Unavailable) as caught:
                scene.key()
            assert caught.value.retry_after == retry_after

    def test_whoever_comes_during_the_fetch_waits_for_that_one(self, scene: Scene) -> None:
        first = scene.fetch()
        steps = first.steps(0)
        next(steps)
        assert scene.fetch().name == first.name
        with pytest.raises(Unavailable, match="did not come in time"):
            scene.look(attempt=1)
        steps.close()

    def test_a_fetch_that_is_not_news_any_more_does_nothing(self, scene: Scene) -> None:
        late = scene.fetch()
        scene.key()
        scene.run(late)
        assert len(scene.asked) == 1

    def test_an_abandoned_fetch_leaves_no_trace(self, scene: Scene) -> None:
        # In a child process: its interpreter closes what the parent's threads were at, before any hook of ours.
        steps = scene.fetch().steps(0)
        next(steps)
        steps.close()
        assert scene.state() == "cold"
        assert scene.key().kid == "a"

    def test_a_fetch_that_breaks_is_a_failed_one(self, scene: Scene) -> None:
        steps = scene.fetch().steps(0)
        next(steps)
        with pytest.raises(ZeroDivisionError):
            steps.throw(ZeroDivisionError())
        with pytest.raises(Unavailable, match="the fetch was abandoned"):
            scene.look()

    def test_requests_carry_the_bounds_of_the_policy(self) -> None:
        scene = Scene(connect_timeout=0.5, total_timeout=2, max_bytes=1000, patience=4)
        fetch = scene.fetch()
        assert fetch.patience == 4
        request = next(fetch.steps(0))
        assert (request.connect_timeout, request.total_timeout, request.max_bytes) == (0.5, 2, 1000)

    def test_a_child_process_does_not_wait_for_its_parents_fetch(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        steps = warm.due.popleft().steps(240)
        next(steps)
        warm.keys.after_fork()
        warm.known()
        assert warm.run_due() == 1
        steps.close()


class TestLost:
    """A fetch that never comes back, such as one whose thread was lost."""

    def test_another_may_start_and_the_late_one_changes_nothing(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        lost = warm.due.popleft().steps(240)
        next(lost)
        warm.tick = 240 + 12
        warm.known()
        assert warm.run_due() == 1
        assert warm.state() == "fresh"
        before = warm.keys._state
        with pytest.raises(StopIteration):
            lost.send(Answer(at=300, trouble="much too late"))
        assert warm.keys._state is before

    def test_one_that_is_given_up_late_brings_no_old_keys_back(self, warm: Scene) -> None:
        warm.tick = 240
        warm.known()
        lost = warm.due.popleft().steps(240)
        next(lost)
        warm.keys.after_fork()
        warm.replies[URL] = {"keys": [B]}
        warm.known()
        warm.run_due()
        lost.close()
        with pytest.raises(InvalidToken, match="no key with kid 'a'"):
            warm.key("a")

    def test_a_child_process_refreshes_at_a_moment_of_its_own(self, warm: Scene) -> None:
        warm.chance = 0.5
        warm.keys.after_fork()
        assert warm.keys.health(0)["next_refresh"] == 255

    def test_a_cold_child_stays_cold(self, scene: Scene) -> None:
        scene.keys.after_fork()
        assert scene.state() == "cold"


def test_without_a_stale_window_keys_end_with_their_lifetime() -> None:
    scene = Scene(stale_window=0)
    scene.key()
    scene.tick = 300
    assert scene.state() == "down"
    assert isinstance(scene.look(), Fetch)


class TestEvents:
    def test_a_rotation_tells_what_came_and_went(self, warm: Scene) -> None:
        warm.replies[URL] = {"keys": [B]}
        warm.tick = 240
        warm.known()
        warm.run_due()
        assert warm.events == [
            KeysRefreshed(issuer=ISSUER, key_ids=("'a'",), added=("'a'",), removed=(), lifetime=300),
            KeysRefreshed(issuer=ISSUER, key_ids=("'b'",), added=("'b'",), removed=("'a'",), lifetime=300),
        ]

    def test_a_skipped_key_is_told_once(self, scene: Scene) -> None:
        scene.replies[URL] = {"keys": [A, {"kty": "AKP", "kid": "pq"}]}
        scene.key()
        scene.tick = 240
        scene.known()
        scene.run_due()
        assert [event for event in scene.events if isinstance(event, KeySkipped)] == [
            KeySkipped(issuer=ISSUER, kid="'pq'", why="unsupported kty or crv")
        ]

    def test_an_outage_is_told_with_every_failed_fetch(self, warm: Scene) -> None:
        warm.replies[URL] = Answer(at=240, trouble="ConnectError")
        warm.tick = 240
        warm.known()
        warm.run_due()
        trouble = f"{URL}: ConnectError"
        assert warm.events[1:] == [RefreshFailed(issuer=ISSUER, trouble=trouble, failures=1, retry_in=1, stale=False)]
        warm.replies[URL] = Answer(at=310, trouble="ConnectError")
        warm.tick = 310
        warm.known()
        warm.run_due()
        assert warm.events[2:] == [
            RefreshFailed(issuer=ISSUER, trouble=trouble, failures=2, retry_in=2, stale=True),
            ServingStale(issuer=ISSUER, age=310, ends_in=3590),
        ]


def test_health_is_plain_data(warm: Scene) -> None:
    warm.tick = 10
    assert warm.keys.health(10) == {
        "state": "fresh",
        "key_ids": ["'a'"],
        "age": 10,
        "next_refresh": 230,
        "last_error": None,
    }
