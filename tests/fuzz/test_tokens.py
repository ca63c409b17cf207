"""Whatever comes in, only refusals come out."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge import b64, claims, forge, header, sign_text, validator
from tests.fuzz.effort import examples
from tokenguard import Reason, RequestRefused
from tokenguard._jws import parse_jws, token_bytes

VALIDATOR = validator()
GOOD = forge()


def reason(token: str | bytes) -> Reason | None:
    """Any other exception than a refusal fails the test."""
    try:
        VALIDATOR.validate(token)
    except RequestRefused as refused:
        return refused.reason
    return None


@given(st.one_of(st.text(), st.binary(), st.text(alphabet=".-_=eyJ\ud800é\x00", max_size=40)))
@settings(max_examples=examples(1000))
def test_junk_is_refused(token: str | bytes) -> None:
    assert reason(token) is not None
    try:
        parse_jws(token_bytes(token), {})
    except RequestRefused:
        pass
    else:
        raise AssertionError("junk has a header")


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_segments_of_any_bytes_are_refused(head: bytes, payload: bytes, signature: bytes) -> None:
    assert reason(f"{b64(head)}.{b64(payload)}.{b64(signature)}") is not None
    assert reason(sign_text(f"{b64(head)}.{GOOD.split('.')[1]}")) is not None
    assert reason(sign_text(f"{GOOD.split('.')[0]}.{b64(payload)}")) is not None


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["RS256", "rs", "none"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
CLAIM_NAMES = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "client_id",
    "jti",
    "scope",
    "scp",
    "cnf",
    "typ",
    "token_use",
    "x",
]
HEADER_NAMES = ["alg", "kid", "typ", "cty", "crit", "jwk", "x5c", "jku", "b64", "zip", "enc", "x"]


@given(st.dictionaries(st.sampled_from(CLAIM_NAMES), JSON, min_size=1, max_size=3))
@settings(max_examples=examples(500))
def test_claims_of_any_type_are_judged(changes: dict[str, object]) -> None:
    token = forge(json.dumps({**claims(), **changes}))
    if reason(token) is None:
        assert set(changes) <= {"x", "exp", "nbf", "iat", "sub", "client_id", "jti", "scope", "scp", "typ", "token_use"}


@given(st.dictionaries(st.sampled_from(HEADER_NAMES), JSON, min_size=1, max_size=3))
@settings(max_examples=examples(500))
def test_header_parameters_of_any_type_are_judged(changes: dict[str, object]) -> None:
    token = forge(head=json.dumps({**header(), **changes}))
    if reason(token) is None:
        assert set(changes) <= {"x", "jwk", "x5c", "jku", "alg", "kid"}
        assert {**header(), **changes}["alg"] == "RS256"
        assert {**header(), **changes}["kid"] == "rs"


@given(st.text(max_size=20), st.text(max_size=20))
def test_nothing_around_a_good_token_is_overlooked(before: str, behind: str) -> None:
    assert (reason(before + GOOD + behind) is None) is (before == behind == "")
