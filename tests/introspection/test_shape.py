"""What a token looks like decides who judges it, and junk costs no call (I11, I15)."""

from __future__ import annotations

import json
import random
import string
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forge import as_bytes, b64, claims, forge
from tests.introspection.stage import (
    ENDPOINT,
    JWE,
    JWT,
    JWT_BAD_SIGNATURE,
    JWT_NONE,
    OPAQUE,
    Scene,
    active,
    asked,
    form,
    issuer,
)
from tokenguard import InvalidToken, Reason
from tokenguard._introspection.opaque import is_jwt
from tokenguard._jws import MAX_TOKEN_BYTES, parse_jws

HEAD = b64(as_bytes({"alg": "RS256", "kid": "rs"}))

JUNK: dict[str, str | bytes] = {
    "empty": "",
    "a space": " ",
    "a space in it": "abc def",
    "a space before": f" {OPAQUE}",
    "a line end": f"{OPAQUE}\n",
    "CRLF and a header": f"{OPAQUE}\r\nX: y",
    "NUL": f"{OPAQUE}\0",
    "a comma": "abc,def",
    "quotes": f'"{OPAQUE}"',
    "a percent": "abc%2Edef",
    "an ampersand": "abc&token=def",
    "a colon": "abc:def",
    "a semicolon": "abc;",
    "braces": '{"token": "abc"}',
    "= first": "=abc",
    "= inside": "ab=c",
    "= alone": "==",
    "umlaut": "t\u00f6ken",
    "octets": b"\xff\xfe",
    "NBSP": f"{OPAQUE}\u00a0",
    "DEL": f"{OPAQUE}\x7f",
    "too long": "a" * (MAX_TOKEN_BYTES + 1),
    "a megabyte": b"a" * 1_000_000,
    "200,000 dots": "." * 200_000,
}


@pytest.mark.parametrize("policy", ["opaque", "always", "only"])
@pytest.mark.parametrize("name", JUNK)
def test_junk_costs_no_call(name: str, policy: str) -> None:
    scene = Scene(issuer(introspection=asked(policy=policy)))
    assert scene.refused(JUNK[name]).reason in (Reason.MALFORMED, Reason.TOO_LARGE)
    assert scene.requests == []


TOKEN68 = ["a", "7", "...", "a.b.c", "a.b.c.d.e", "a.b", "AZaz09-._~+/=", "abc==", "~", "e30.e30.e30", "~.~.~"]


@pytest.mark.parametrize("text", [*TOKEN68, "a" * MAX_TOKEN_BYTES])
@pytest.mark.parametrize("as_octets", [False, True])
def test_whatever_a_bearer_token_may_be_is_asked_about_as_it_stands(text: str, as_octets: bool) -> None:
    # RFC 6750 s2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
    scene = Scene()
    scene.validate(text.encode() if as_octets else text)
    assert form(scene.questions[0])["token"] == text


# What looks like a JWT: never a question under "opaque"
LOOKS_LIKE_ONE = {
    "good": HEAD,
    "alg none": b64(b'{"alg":"none"}'),
    "alg null": b64(b'{"alg":null}'),
    "alg a number": b64(b'{"alg":1}'),
    "alg a list": b64(b'{"alg":[]}'),
    "alg twice": b64(b'{"alg":"none","alg":"RS256"}'),
    "alg among others": b64(b'{"typ":"JWT","x":[1,{"y":2}],"alg":"RS256"}'),
    "alg escaped": b64(b'{"\\u0061lg":"RS256"}'),
    "white space": b64(b' \t\r\n{ "alg" : "RS256" } \n'),
    "NaN": b64(b'{"alg":"RS256","x":NaN}'),
    "Infinity": b64(b'{"alg":"RS256","x":-Infinity}'),
    "a number of 5,000 digits": b64(b'{"alg":"RS256","x":' + b"9" * 5000 + b"}"),
    "1e999": b64(b'{"alg":"RS256","x":1e999}'),
    "a control character": b64(b'{"alg":"RS256","x":"\x01\n"}'),
    "invalid UTF-8": b64(b'{"alg":"RS256","x":"\xff"}'),
    "overlong UTF-8": b64(b'{"alg":"RS256","x":"\xc0\xae"}'),
    "a lone surrogate": b64(b'{"alg":"RS256","x":"\\ud800"}'),
    "a BOM": b64(b'\xef\xbb\xbf{"alg":"RS256"}'),
    "UTF-16": b64('{"alg":"RS256"}'.encode("utf-16")),
    "UTF-16, little end first": b64('{"alg":"RS256"}'.encode("utf-16-le")),
    "UTF-32": b64('{"alg":"RS256"}'.encode("utf-32")),
    "with =": b64(b'{"alg":"none"}') + "=",
    "with too many =": HEAD + "=====",
    "standard alphabet": b64(b'{"alg":"RS256","x":"???>>>"}').replace("_", "/").replace("-", "+"),
    "a character too many": b64(b'{"alg":"RS256"}') + "A",
    "bits that stand for nothing": b64(b'{"alg":"none"}')[:-1] + "1",
    "a ~ before": "~" + HEAD,
    "a ~ within": HEAD[:7] + "~" + HEAD[7:],
    "a ~ after": HEAD + "~",
    "many ~": "~".join(HEAD),
    "nested 20 deep": b64(b'{"alg":"RS256","x":' + b"[" * 20 + b"]" * 20 + b"}"),
    "nested 5,000 deep": b64(b'{"alg":"RS256","x":' + b"[" * 5000),
    "only brackets": b64(b"[" * 10_000),
}


@pytest.mark.parametrize("policy", ["opaque", "always"])
@pytest.mark.parametrize("rest", [".e30.AAAA", "..", ".e30.", ".!.!"])
@pytest.mark.parametrize("name", LOOKS_LIKE_ONE)
def test_what_looks_like_a_jwt_is_never_asked_about(name: str, rest: str, policy: str) -> None:
    scene = Scene(issuer(introspection=asked(policy=policy)))
    text = LOOKS_LIKE_ONE[name] + rest
    assert is_jwt(text.encode())
    assert scene.refused(text).status == 401
    assert scene.requests == []


NOT_LIKE_ONE = {
    "no alg": b64(b'{"typ":"JWT"}'),
    "ALG": b64(b'{"ALG":"RS256"}'),
    "empty": b64(b"{}"),
    "alg further in": b64(b'{"x":{"alg":"RS256"}}'),
    "a list": b64(b'["alg"]'),
    "a text": b64(b'"alg"'),
    "a number": b64(b"7"),
    "cut short": b64(b'{"alg":"RS256"'),
    "more after it": b64(b'{"alg":"RS256"}{}'),
    "no JSON": b64(b"alg"),
    "nothing": "",
}


@pytest.mark.parametrize("name", NOT_LIKE_ONE)
def test_what_does_not_look_like_one_is(name: str) -> None:
    text = NOT_LIKE_ONE[name] + ".e30.AAAA"
    assert not is_jwt(text.encode())
    scene = Scene()
    scene.validate(text)
    assert scene.calls == 1


@pytest.mark.parametrize(("segments", "opaque"), [(1, True), (2, True), (3, False), (4, True), (5, False), (6, True)])
def test_it_is_the_number_of_segments_that_counts(segments: int, opaque: bool) -> None:
    # Of five: a JWE, which goes to introspection under "only" alone.
    scene = Scene()
    text = ".".join([HEAD, *["AAAA"] * (segments - 1)])
    assert (scene.outcome(text) == "accept") == opaque
    assert scene.calls == int(opaque)


def test_five_segments_that_are_no_jwe_are_opaque() -> None:
    scene = Scene()
    scene.validate("a.b.c.d.e")
    assert scene.calls == 1


def test_a_known_header_is_one_without_a_look() -> None:
    scene = Scene()
    scene.validate(JWT)
    for text in (JWT_BAD_SIGNATURE, JWT.rpartition(".")[0] + ".", JWT.partition(".")[0] + ".e30.AAAA"):
        assert scene.refused(text).status == 401
    assert scene.requests == []


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=4),
    st.text(alphabet=string.ascii_letters + "-_", min_size=2, max_size=8),
)
def test_whatever_our_reader_takes_for_a_jwt_looks_like_one(members: dict[str, object], rest: str) -> None:
    # Else a JWT could be judged by the rules for opaque tokens, and remembered as such.
    head = b64(json.dumps({**members, "alg": "RS256"}, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    text = f"{head}.{rest}.{rest}".encode()
    with suppress(InvalidToken):
        parse_jws(text, {})
    assert is_jwt(text)


def test_no_mutation_of_a_bad_jwt_is_revived_by_an_issuer_that_knows_it() -> None:
    # I11: an issuer that reads leniently might recognise one of its own tokens in it.
    chosen = random.Random(7)
    scene = Scene()
    scene.tells[ENDPOINT] = active()
    for token in (JWT_NONE, JWT_BAD_SIGNATURE, forge(claims(exp=0))):
        head, _, rest = token.partition(".")
        for _ in range(500):
            at = chosen.randrange(len(head) + 1)
            text = f"{head[:at]}{chosen.choice('~=')}{head[at:]}.{rest}"
            assert scene.outcome(text) != "accept", text
    assert scene.requests == []


def test_a_jwe_is_for_those_that_are_asked_about_all() -> None:
    scene = Scene()
    assert scene.refused(JWE).reason is Reason.ENCRYPTED
    assert scene.requests == []
    scene = Scene(issuer(introspection=asked(policy="always")))
    assert scene.refused(JWE).reason is Reason.ENCRYPTED
    assert scene.requests == []
    scene = Scene(issuer(introspection=asked(policy="only")))
    scene.validate(JWE)
    assert scene.calls == 1
