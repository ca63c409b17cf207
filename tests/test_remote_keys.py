"""The life of a fetched key set, by a fake clock."""

from __future__ import annotations

import pytest

from tests.forge import ISSUER, P256, RSA, RSA_PSS, public_jwk
from tests.steps import World
from tokenguard import InvalidToken, Issuer, KeyPolicy, Reason, Unavailable
from tokenguard._fetch import Fetch
from tokenguard._jwk import Key
from tokenguard._jwks import RemoteKeys

URL = "https://keys.example.com/jwks"
A, B = ({**public_jwk(key), "kid": kid} for key, kid in ((RSA, "a"), (RSA_PSS, "b")))


class Scene:
    """A key store with an outside world."""

    def __init__(self, **policy: float) -> None:
        self.world = World()
        self.world.replies[URL] = {"keys": [A]}
        self.keys = RemoteKeys(Issuer(ISSUER, jwks_uri=URL, keys=KeyPolicy(**policy)))  # type: ignore[arg-type]

    def look(self, kid: str = "a", *, fetched: bool = False) -> Key | Fetch:
        return self.keys.find(kid, "RS256", self.world.tick, fetched=fetched)

    def fetch(self, kid: str = "a") -> Fetch:
        """Look, and expect that something has to be fetched."""
        found = self.look(kid)
        assert isinstance(found, Fetch)
        return found

    def get(self, kid: str = "a") -> Key:
        """Look as a request does: fetch where that is asked for, and look again."""
        found = self.look(kid)
        if isinstance(found, Fetch):
            self.world.run(found)
            found = self.look(kid, fetched=True)
        assert isinstance(found, Key)
        return found

    @property
    def requests(self) -> int:
        return len(self.world.asked)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_cold_the_first_look_fetches(scene: Scene) -> None:
    assert scene.get().kid == "a"
    assert scene.world.asked == [URL]


def test_fresh_a_known_kid_never_fetches(scene: Scene) -> None:
    key = scene.get()
    scene.world.tick = 299.9
    assert scene.look() is key
    assert scene.requests == 1


def test_past_its_lifetime_the_set_is_fetched_again_and_keeps_its_key_objects(scene: Scene) -> None:
    key = scene.get()
    scene.world.tick = 300
    assert scene.get() is key
    assert scene.requests == 2


def test_a_withdrawn_key_is_refused_after_the_lifetime(scene: Scene) -> None:
    scene.get()
    scene.world.replies[URL] = {"keys": [B]}
    scene.world.tick = 300
    with pytest.raises(InvalidToken) as caught:
        scene.get("a")
    assert caught.value.reason is Reason.UNKNOWN_KEY


def test_a_rotation_is_picked_up_by_the_first_token_that_shows_it(scene: Scene) -> None:
    scene.get()
    scene.world.replies[URL] = {"keys": [A, B]}
    scene.world.tick = 1
    assert scene.get("b").kid == "b"
    assert scene.requests == 2


def test_unknown_kids_cause_one_fetch_per_cooldown(scene: Scene) -> None:
    scene.get()
    for tenth in range(300):  # 30 s of made-up kids, ten a second
        scene.world.tick = tenth / 10
        with pytest.raises(InvalidToken, match="no key with kid"):
            scene.get(f"made-up-{tenth}")
        assert isinstance(scene.look("a"), Key)
    assert scene.requests == 1 + 2


def test_a_rotation_under_such_a_flood_is_seen_after_the_cooldown(scene: Scene) -> None:
    scene.get()
    with pytest.raises(InvalidToken):
        scene.get("made-up")
    scene.world.replies[URL] = {"keys": [B]}
    scene.world.tick = 14.9
    with pytest.raises(InvalidToken):
        scene.get("b")
    scene.world.tick = 15
    assert scene.get("b").kid == "b"


def test_an_unknown_kid_is_undecided_while_the_last_fetch_failed(scene: Scene) -> None:
    scene.get()
    scene.world.replies[URL] = 500
    with pytest.raises(Unavailable, match="status 500"):
        scene.get("b")
    with pytest.raises(Unavailable):
        scene.get("c")  # within the cooldown
    assert scene.requests == 2
    assert isinstance(scene.look("a"), Key)  # known kids are not concerned


def test_a_failed_fetch_counts_for_the_cooldown(scene: Scene) -> None:
    scene.get()
    scene.world.replies[URL] = "timed out"
    for second in range(15):
        scene.world.tick = second
        with pytest.raises(Unavailable):
            scene.get("made-up")
    assert scene.requests == 2


def test_whoever_comes_during_a_fetch_waits_for_that_one(scene: Scene) -> None:
    first = scene.fetch()
    steps = first.steps(0)
    next(steps)
    second = scene.fetch()
    assert second.name == first.name
    steps.close()


def test_a_fetch_that_is_not_news_any_more_does_nothing(scene: Scene) -> None:
    late = scene.fetch()
    scene.get()
    scene.world.run(late)
    assert scene.requests == 1


def test_whoever_lost_patience_is_told_to_come_back(scene: Scene) -> None:
    steps = scene.fetch().steps(0)
    next(steps)
    with pytest.raises(Unavailable, match="did not come in time"):
        scene.look(fetched=True)
    steps.close()


def test_during_a_fetch_an_unknown_kid_is_undecided(scene: Scene) -> None:
    scene.get()
    steps = scene.fetch("b").steps(0)
    next(steps)
    with pytest.raises(Unavailable):
        scene.look("b", fetched=True)
    steps.close()


def test_an_abandoned_fetch_is_a_failed_one(scene: Scene) -> None:
    steps = scene.fetch().steps(0)
    next(steps)
    steps.close()
    with pytest.raises(Unavailable, match="the fetch was abandoned"):
        scene.look()


def test_cold_failures_are_retried_ever_more_slowly() -> None:
    scene = Scene(retry_first=1, retry_most=60)
    scene.world.replies[URL] = 500
    asked_at = []
    for second in range(200):
        scene.world.tick = second
        before = scene.requests
        with pytest.raises(Unavailable):
            scene.get()
        if scene.requests > before:
            asked_at.append(second)
    assert asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_success_ends_the_slowness(scene: Scene) -> None:
    for reply, tick in ((500, 0), (500, 1), ({"keys": [A]}, 3), (500, 303), ({"keys": [A]}, 304)):
        scene.world.replies[URL] = reply
        scene.world.tick = tick
        if reply == 500:
            with pytest.raises(Unavailable):
                scene.get()
        else:
            scene.get()
    assert scene.requests == 5


def test_retry_after_says_when_the_next_fetch_may_start(scene: Scene) -> None:
    scene.world.replies[URL] = 500
    for tick, retry_after in ((0, 1), (1, 2), (1.5, 2), (3, 4), (7, 8), (14, 1)):
        scene.world.tick = tick
        with pytest.raises(Unavailable) as caught:
            scene.get()
        assert caught.value.retry_after == retry_after


def test_the_lifetime_counts_from_the_answer(scene: Scene) -> None:
    scene.world.takes = 2
    scene.get()
    scene.world.tick = 301
    assert isinstance(scene.look(), Key)


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
    ids=str,
)
def test_an_answer_without_usable_key_is_unavailable_and_says_why(scene: Scene, reply: object, trouble: str) -> None:
    scene.world.replies[URL] = reply  # type: ignore[assignment]
    with pytest.raises(Unavailable, match=trouble) as caught:
        scene.get()
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    assert URL in str(caught.value)


def test_requests_carry_the_bounds_of_the_policy() -> None:
    scene = Scene(connect_timeout=0.5, total_timeout=2, max_bytes=1000, patience=4)
    fetch = scene.fetch()
    assert fetch.patience == 4
    request = next(fetch.steps(0))
    assert (request.connect_timeout, request.total_timeout, request.max_bytes) == (0.5, 2, 1000)
