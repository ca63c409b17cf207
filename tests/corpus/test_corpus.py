"""Every case gets its verdict, and nothing but this library's errors come out."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.corpus.case import Case, validator_for
from tests.corpus.everything import ALL_CASES
from tests.forge import AUDIENCE, BY_DEFAULT, ISSUER, NOW, claims, forge
from tests.ways import WAYS, Way, by
from tokenguard import InvalidToken, Reason, TokenCache

EACH_CASE = pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.id)


def verdict(case: Case, token: str | bytes, token_cache: TokenCache | None = BY_DEFAULT) -> Reason | None:
    try:
        validator_for(case.rules, token_cache).validate(token)
    except InvalidToken as refused:
        return refused.reason
    return None


@EACH_CASE
def test_each_token_gets_its_verdict(case: Case) -> None:
    assert verdict(case, case.token) == case.reason


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("token_cache", [None, TokenCache()], ids=["off", "warm"])
def test_the_verdict_is_the_same_each_way_and_each_time(way: Way, token_cache: TokenCache | None) -> None:
    with by(way):
        for case in ALL_CASES:
            for _ in range(2):
                assert verdict(case, case.token, token_cache) == case.reason, case.id


@pytest.mark.parametrize("way", WAYS)
def test_the_cache_is_cold_before_each_token(way: Way) -> None:
    with by(way):
        for case in ALL_CASES:
            validator_for.cache_clear()
            assert verdict(case, case.token) == case.reason, case.id


def test_a_token_has_the_same_verdict_as_text_and_as_bytes() -> None:
    for case in ALL_CASES:
        other = case.token.decode("latin-1") if isinstance(case.token, bytes) else case.token.encode(errors="replace")
        # Of the same length only: what is no ASCII has another one in bytes.
        if len(other) == len(case.token):
            assert verdict(case, other) == verdict(case, case.token), case.id


async def verdict_async(case: Case) -> Reason | None:
    try:
        await validator_for(case.rules).validate_async(case.token)
    except InvalidToken as refused:
        return refused.reason
    return None


def test_the_async_way_is_the_same_way() -> None:
    async def differences() -> list[str]:
        return [case.id for case in ALL_CASES if await verdict_async(case) != verdict(case, case.token)]

    assert asyncio.run(differences()) == []


def test_no_token_makes_anyone_open_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:  # K07, C22
    def refuse(*args: object) -> None:
        raise AssertionError(f"a socket was opened: {args}")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(f"socket.socket.{name}", refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(f"socket.{name}", refuse)
    for case in ALL_CASES:
        verdict(case, case.token)


def test_a_refusal_is_a_401_whose_words_are_from_a_fixed_list() -> None:
    # RFC 6750 s3.1; nothing finer than "expired" for the client.
    for case in ALL_CASES:
        try:
            validator_for(case.rules).validate(case.token)
        except InvalidToken as refused:
            said = (refused.status, refused.error, refused.description)
        else:
            continue
        text = "The access token expired" if case.reason is Reason.EXPIRED else "The access token is invalid"
        assert said == (401, "invalid_token", text), case.id


def test_what_a_good_token_says_is_what_comes_out() -> None:
    token = validator_for("base").validate(
        forge(claims(client_id="c", jti="j", nbf=NOW, scope="b a", org={"id": [1, {"x": None}]}))
    )
    assert (token.issuer, token.subject, token.client_id, token.audience) == (ISSUER, "user-1", "c", (AUDIENCE,))
    assert (token.expires_at, token.issued_at, token.not_before, token.token_id) == (NOW + 600, NOW - 10, NOW, "j")
    assert token.scopes == {"a", "b"}
    assert token.to_dict()["org"] == {"id": [1, {"x": None}]}


def test_no_two_cases_share_a_name() -> None:
    assert [name for name, times in Counter(case.id for case in ALL_CASES).items() if times > 1] == []


def test_every_public_case_of_these_groups_is_there() -> None:
    public = (
        "V01 V02 V03 V05 V06 V09 V10 F01 F02 F03 F04 F07 F09 F11 F12 F15 F19 F23 F25 F26 F28 F30 F31 F35 F37 H01 H02 "
        "H03 H05 H08 H10 H11 H13 H14 H16 K01 K02 K03 K05 K07 K09 S01 S03 S04 S05 S06 S11 C01 C02 C03 C04 C05 C07 C08 "
        "C12 C13 C16 C17 C21 C24 C25 C27"
    )
    elsewhere = {"V10", "C25"}  # what a route requires: see test_scopes.py
    assert set(public.split()) - elsewhere <= {case.id.partition(":")[0] for case in ALL_CASES}
