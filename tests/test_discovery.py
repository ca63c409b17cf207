"""Finding the key set: RFC 8414 and OpenID Connect Discovery, without sockets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.forge import RSA, public_jwk
from tests.steps import Reply, World
from tokenguard import Issuer, KeyPolicy, Unavailable
from tokenguard._discovery import well_known
from tokenguard.events import DiscoveryFailed

ISSUER = "https://as.example.com/tenant"
OAUTH = "https://as.example.com/.well-known/oauth-authorization-server/tenant"
OPENID = "https://as.example.com/tenant/.well-known/openid-configuration"
JWKS = "https://keys.example.com/jwks"
METADATA = {"issuer": ISSUER, "jwks_uri": JWKS}


def _world(replies: dict[str, Reply]) -> World:
    world = World()
    world.replies = {JWKS: {"keys": [{**public_jwk(RSA), "kid": "a"}]}, **replies}
    return world


@pytest.mark.parametrize(
    ("url", "oauth", "openid"),
    [
        (
            "https://h",
            "https://h/.well-known/oauth-authorization-server",
            "https://h/.well-known/openid-configuration",
        ),
        (
            "https://h/",
            "https://h/.well-known/oauth-authorization-server",
            "https://h/.well-known/openid-configuration",
        ),
        (
            "https://h:1/a/b",
            "https://h:1/.well-known/oauth-authorization-server/a/b",
            "https://h:1/a/b/.well-known/openid-configuration",
        ),
        (
            "https://h/a/",
            "https://h/.well-known/oauth-authorization-server/a",
            "https://h/a/.well-known/openid-configuration",
        ),
    ],
)
def test_the_well_known_addresses(url: str, oauth: str, openid: str) -> None:
    assert well_known(url) == (oauth, openid)  # C58


def test_rfc_8414_comes_first() -> None:
    world = _world({OAUTH: METADATA, OPENID: METADATA})
    world.get(world.store(Issuer(ISSUER)))
    assert world.asked == [OAUTH, JWKS]


@pytest.mark.parametrize("reply", [404, 400, 403, 302, b"<html>", {}, {"jwks_uri": JWKS}], ids=str)
def test_where_there_is_no_metadata_openid_is_tried(reply: Reply) -> None:
    world = _world({OAUTH: reply, OPENID: METADATA})
    world.get(world.store(Issuer(ISSUER)))
    assert world.asked == [OAUTH, OPENID, JWKS]


@pytest.mark.parametrize("reply", [500, 503, "timed out"], ids=str)
def test_trouble_is_no_reason_to_try_elsewhere(reply: Reply) -> None:
    world = _world({OAUTH: reply, OPENID: METADATA})
    with pytest.raises(Unavailable, match=r"status 50|timed out"):
        world.get(world.store(Issuer(ISSUER)))
    assert world.asked == [OAUTH]


@pytest.mark.parametrize("issuer", ["https://as.example.com", ISSUER + "/", ISSUER.upper(), None, 7, [ISSUER]], ids=str)
def test_metadata_of_another_issuer_ends_the_search(issuer: object) -> None:
    world = _world({OAUTH: {**METADATA, "issuer": issuer}, OPENID: METADATA})
    with pytest.raises(Unavailable, match="metadata of another issuer"):  # C58
        world.get(world.store(Issuer(ISSUER)))
    assert world.asked == [OAUTH]


def test_nothing_found_anywhere_tells_of_each_place() -> None:
    world = _world({OAUTH: 404, OPENID: b"<html>"})
    with pytest.raises(Unavailable, match=r"server/tenant: status 404; .*configuration: the body is no JSON object"):
        world.get(world.store(Issuer(ISSUER)))


@pytest.mark.parametrize(
    ("jwks_uri", "trouble"),
    [
        (..., "is missing"),
        (None, "is missing"),
        (["https://keys.example.com"], "is missing"),
        ("", "not a plain https URL"),
        ("/jwks", "not a plain https URL"),
        ("file:///etc/passwd", "not a plain https URL"),
        ("ftp://keys.example.com/", "not a plain https URL"),
        ("data:application/json,{}", "not a plain https URL"),
        ("http://keys.example.com/jwks", "use https"),
        ("http://169.254.169.254/latest/meta-data", "use https"),
        ("http://127.0.0.1/jwks", "though the issuer or its metadata is https"),
        ("https://u:p@keys.example.com/", "not a plain https URL"),
    ],
)
def test_a_key_set_address_that_is_not_fetched(jwks_uri: Any, trouble: str) -> None:
    metadata = {"issuer": ISSUER} if jwks_uri is ... else {"issuer": ISSUER, "jwks_uri": jwks_uri}
    world = _world({OAUTH: metadata})
    with pytest.raises(Unavailable, match=trouble):  # C22
        world.get(world.store(Issuer(ISSUER)))
    assert world.asked == [OAUTH]


def test_an_https_issuer_names_no_http_url_even_where_http_is_allowed() -> None:
    world = _world({OAUTH: {**METADATA, "jwks_uri": "http://keys.example.com/"}})
    with pytest.raises(Unavailable, match="though the issuer or its metadata is https"):
        world.get(world.store(Issuer(ISSUER, allow_insecure_http=True)))


def test_https_metadata_names_no_http_url_whatever_the_issuer_is_called() -> None:
    url = "https://elsewhere.example.com/metadata"
    world = _world({url: {"issuer": "acme", "jwks_uri": "http://127.0.0.1/jwks"}})
    with pytest.raises(Unavailable, match="though the issuer or its metadata is https"):
        world.get(world.store(Issuer("acme", metadata_url=url)))


def test_an_http_issuer_of_this_machine_names_its_own_keys() -> None:
    world = _world({"http://localhost/.well-known/oauth-authorization-server": {"issuer": "http://localhost"}})
    world.replies["http://localhost/.well-known/oauth-authorization-server"] = {
        "issuer": "http://localhost",
        "jwks_uri": "http://127.0.0.1/jwks",
    }
    world.replies["http://127.0.0.1/jwks"] = world.replies[JWKS]
    assert world.get(world.store(Issuer("http://localhost"))).kid == "a"


def test_too_many_requests_is_no_reason_to_ask_more() -> None:
    world = _world({OAUTH: 429, OPENID: METADATA})
    world.headers = {"retry-after": "7"}
    keys = world.store(Issuer(ISSUER))
    with pytest.raises(Unavailable, match="status 429") as caught:
        world.get(keys)
    assert caught.value.retry_after == 7
    assert world.asked == [OAUTH]


def test_a_metadata_url_is_the_only_one_asked_and_must_name_the_issuer() -> None:
    url = "https://elsewhere.example.com/metadata"
    world = _world({url: METADATA})
    world.get(world.store(Issuer(ISSUER, metadata_url=url)))
    assert world.asked == [url, JWKS]
    world = _world({url: {**METADATA, "issuer": "https://elsewhere.example.com"}})
    with pytest.raises(Unavailable, match="metadata of another issuer"):
        world.get(world.store(Issuer(ISSUER, metadata_url=url)))


def test_a_jwks_uri_needs_no_metadata_ever() -> None:
    world = _world({})
    keys = world.store(Issuer(ISSUER, jwks_uri=JWKS))
    world.get(keys)
    world.replies[JWKS] = 404
    for world.tick in (290, 295):
        world.get(keys)
        world.run_due()
    assert world.asked == [JWKS, JWKS, JWKS]


def test_metadata_serves_for_an_hour() -> None:
    world = _world({OAUTH: METADATA})
    keys = world.store(Issuer(ISSUER))
    for minute in range(65):
        world.tick = minute * 60
        world.get(keys)
        world.run_due()
    assert world.asked.count(OAUTH) == 2


def test_where_the_keys_are_gone_the_metadata_is_asked_again() -> None:
    world = _world({OAUTH: METADATA})
    keys = world.store(Issuer(ISSUER))
    world.get(keys)
    moved = "https://keys.example.com/moved"
    world.replies |= {JWKS: 404, moved: world.replies[JWKS], OAUTH: {**METADATA, "jwks_uri": moved}}
    for world.tick in (290, 295):
        world.get(keys)
        world.run_due()
    assert world.asked == [OAUTH, JWKS, JWKS, OAUTH, moved]


def test_where_the_keys_fail_the_metadata_is_not_asked_again() -> None:
    world = _world({OAUTH: METADATA})
    keys = world.store(Issuer(ISSUER))
    world.get(keys)
    world.replies[JWKS] = 500
    for world.tick in (290, 295):
        world.get(keys)
        world.run_due()
    assert world.asked == [OAUTH, JWKS, JWKS, JWKS]


@pytest.mark.parametrize("reply", [500, 404, "timed out", b"<html>", {"issuer": ISSUER}], ids=str)
def test_the_last_good_metadata_serves_on_while_it_is_out_of_reach(reply: Reply) -> None:
    world = _world({OAUTH: METADATA})
    keys = world.store(Issuer(ISSUER))
    world.get(keys)
    world.replies[OAUTH] = reply
    for world.tick in range(0, 7200, 30):
        world.get(keys)
        world.run_due()
        assert keys.health(world.tick)["state"] == "fresh"
    assert keys.health(world.tick)["last_error"] is not None
    troubles = [event for event in world.events if isinstance(event, DiscoveryFailed)]
    assert OAUTH in troubles[0].trouble
    world.replies[OAUTH] = METADATA
    world.tick = 7260
    world.get(keys)
    world.run_due()
    assert keys.health(world.tick)["last_error"] is None


def test_but_no_longer_than_the_stale_window_and_then_the_keys_live_out_theirs() -> None:
    world = _world({OAUTH: METADATA})
    keys = world.store(Issuer(ISSUER, keys=KeyPolicy(metadata_lifetime=600, stale_window=900)))
    world.get(keys)
    world.replies[OAUTH] = 500
    seen = set()
    for world.tick in range(0, 3600, 10):
        try:
            world.get(keys)
        except Unavailable:
            seen.add((world.tick, "down"))
        else:
            seen.add((world.tick, keys.health(world.tick)["state"]))
        world.run_due()
    stale = sorted(tick for tick, state in seen if state == "stale")
    down = sorted(tick for tick, state in seen if state == "down")
    assert 1500 < stale[0] <= 1800
    assert stale[0] + 890 <= down[0] <= stale[0] + 910


def test_an_impostors_metadata_is_no_outage_and_nothing_is_fetched_by_the_last_good_one() -> None:
    world = _world({OAUTH: METADATA})
    keys = world.store(Issuer(ISSUER, keys=KeyPolicy(metadata_lifetime=200)))
    world.get(keys)
    world.replies[OAUTH] = {**METADATA, "issuer": "https://evil.example.com"}
    world.tick = 290
    world.get(keys)
    world.run_due()
    assert world.asked == [OAUTH, JWKS, OAUTH]
    assert "another issuer" in keys.health(world.tick)["last_error"]
