"""L01, L02, E03, E04, C61: what a token says stays out of logs, exceptions, answers and reprs; the rest is tamed."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Set

import pytest

from tests.corpus.case import Case, validator_for
from tests.corpus.everything import ALL_CASES
from tests.forge import AUDIENCE, DROP, ISSUER, RSA, SECRET, b64, claims, forge, header, public_jwk, validator
from tokenguard import AccessDenied, AccessToken, InvalidToken, Issuer, Reason, RequestRefused, TokenValidator
from tokenguard.integrations._answers import answer

WINDOW = 8


@pytest.fixture(autouse=True)
def debug(caplog: pytest.LogCaptureFixture) -> None:
    for case in ALL_CASES:
        validator_for(case.rules)  # made once for all tests; whichever asked first would have the log of its keys
    caplog.set_level(logging.DEBUG)
    caplog.clear()


def windows(*texts: str) -> set[str]:
    return {text[at : at + WINDOW] for text in texts for at in range(len(text) - WINDOW + 1)}


def leaks(parts: Set[str], token: str | bytes) -> list[str]:
    """Those that stand in the token's text."""
    secret = token.decode("latin-1") if isinstance(token, bytes) else token
    return [part for part in parts if part in secret]


def texts_of_records(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    for record in caplog.records:
        yield record.getMessage()
        yield repr(record.args)
        yield logging.Formatter().format(record)  # with exc_info and stack_info, if any
        yield repr({name: value for name, value in vars(record).items() if name not in {"pathname", "args"}})
    caplog.clear()


def texts_of_exception(error: BaseException | None) -> Iterator[str]:
    """All that anyone might log of it: an exception of a parser holds the whole text as `.doc` or `.object`."""
    while error is not None:
        yield str(error)
        yield repr(error)
        yield repr(error.args)
        yield repr(vars(error))
        for name in ("doc", "object", "string", "msg", "reason", "detail", "filename", "__notes__"):
            yield repr(getattr(error, name, None))
        yield from texts_of_exception(error.__cause__)
        error = error.__context__


def texts_of_answer(refused: RequestRefused) -> Iterator[str]:
    response = answer(refused)
    yield str(response.status)
    yield repr(response.headers)
    yield response.body.decode("ascii")
    yield str(refused.challenge)


def texts_of_token(token: AccessToken) -> Iterator[str]:
    yield repr(token)
    yield str(token)


def texts(case: Case) -> Iterator[str]:
    try:
        token = validator_for(case.rules).validate(case.token)
    except RequestRefused as refused:
        yield from texts_of_exception(refused)
        yield from texts_of_answer(refused)
    else:
        yield from texts_of_token(token)


def test_nothing_that_is_said_about_a_token_quotes_it(caplog: pytest.LogCaptureFixture) -> None:
    def said_about(case: Case) -> set[str]:
        # A validator logs one warning per reason and second, and else at DEBUG: with that level on, each time.
        return windows(*texts(case), *texts_of_records(caplog))

    # What is said about any token: it names our realm, and so may a token in plain JSON.
    always = said_about(Case(id="", token="junk", reason=Reason.MALFORMED))
    assert always
    for case in ALL_CASES:
        assert leaks(said_about(case) - always, case.token) == [], case.id


def refusals() -> Iterator[tuple[Case, InvalidToken]]:
    for case in ALL_CASES:
        try:
            validator_for(case.rules).validate(case.token)
        except InvalidToken as refused:
            refusal = refused
        else:
            continue
        yield case, refusal


def test_the_search_for_leaks_finds_one() -> None:
    token = forge()
    assert leaks(windows(f"refused: {token[40:48]}"), token) == [token[40:48]]
    assert leaks(windows(f"refused: {token[40:47]}"), token) == []
    assert leaks(windows(token[-8:]), token.encode()) == [token[-8:]]


def test_each_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for case, refused in refusals():
        (record,) = caplog.records
        assert record.name == "tokenguard", case.id
        assert record.getMessage() == f"refused with 401: {refused}", case.id
        caplog.clear()


def test_a_refusal_stands_alone() -> None:
    # No cause and no context: whatever a parser raised is gone, with the document it holds.
    for case, refused in refusals():
        assert refused.__cause__ is None, case.id
        assert refused.__context__ is None, case.id


def test_an_answer_names_no_class_file_or_library() -> None:  # E04
    words = (
        "tokenguard",
        "Traceback",
        "Error",
        "Exception",
        ".py",
        "jwt.",
        "cryptography",
        "json",
        "File ",
        "site-packages",
    )
    for case, refused in refusals():
        response = answer(refused)
        said = response.body.decode("ascii") + response.headers["WWW-Authenticate"]
        assert not [word for word in words if word in said], case.id


def test_a_token_shows_what_it_grants_and_no_other_claim() -> None:
    token = validator_for("base").validate(forge(claims(secret_note="private words", scope="read")))
    assert "private words" not in repr(token)
    assert "read" in repr(token)


def test_no_secret_of_a_key_set_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    jwk = public_jwk(RSA, kid="private", d=b64(b"the private exponent, more or less"))
    validator(jwks={"keys": [{"kty": "oct", "kid": "oct", "k": b64(SECRET)}, jwk, public_jwk(RSA, kid="rs")]})
    assert len(caplog.records) == 2
    said = windows(*texts_of_records(caplog))
    assert leaks(said, b64(SECRET)) == leaks(said, jwk["d"]) == leaks(said, jwk["n"]) == []


# L02 (CWE-117): one line, printable ASCII, at most 128 characters of what somebody else wrote.

HOSTILE = {
    "crlf": "Z\r\nINFO all is well\r\n",
    "ansi": "Z\x1b[2J\x1b[31mroot\x1b[0m\x07",
    "c1": "Z\x9b31m\x85\x90",
    "bidi": "Z\u202e\u2066evil\u2028\u2029",
    "nul": "Z\0\0\0",
    "quotes": "Z'\"\\`",
    "percent": "Z%s%d%(x)s{0}",
    "emoji": "Z\U0001f600\U0010ffff",
    "tabs": "Z\t\v\f",
    "long": "Z" * 10_000,
    "long-crlf": "Z\r\n" * 3_000,
    "long-non-ascii": "Z\u0416" * 3_000,
    "long-astral": "Z\U0001f600" * 2_000,
    "long-quotes": "Z'\"" * 3_000,
}


def assert_tame(message: str) -> None:
    assert message.isascii()
    assert message.isprintable()
    assert message.count("Z") <= 128
    assert len(message) <= len("refused with 401: wrong_token_kind: no key with kid  for RS256: no access token") + 128


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_foreign_text_in_a_log_line_is_short_and_printable(text: str, caplog: pytest.LogCaptureFixture) -> None:
    tokens = {
        "unknown kid": forge(head=header(kid=text)),
        "iss": forge(claims(iss=text)),
        "aud": forge(claims(aud=text)),
        "aud in a list": forge(claims(aud=[text, text[:10]])),
        "alg": forge(head=header(alg=text)),
        "typ": forge(head=header(typ=text)),
        "sub": forge(claims(sub=text, exp=0)),
        "all": forge(claims(iss=text, aud=text, sub=text), header(alg=text, kid=text, typ=text)),
        "a header's name": forge(head=header(**{text: 1, "crit": [text]})),
        "a claim's name": forge(claims(**{text: 1, "aud": DROP})),
        "the token": text,
    }
    for name, token in tokens.items():
        with pytest.raises(InvalidToken) as refused:
            validator_for("base").validate(token)
        (record,) = caplog.records
        assert_tame(record.getMessage())
        assert_tame(str(refused.value))
        assert "Z" not in str(answer(refused.value)), name
        caplog.clear()


def test_foreign_kids_of_a_key_set_are_tame_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    foreign = [{"kty": "XYZ", "kid": text} for text in (*HOSTILE.values(), "Z" * 65_536, ["Z" * 1_000], {"Z": "\r\n"})]
    guard = validator(jwks={"keys": [*foreign, public_jwk(RSA, kid=HOSTILE["crlf"])]})
    assert len(caplog.records) == len(foreign)
    for record in caplog.records:
        assert record.getMessage().isascii()
        assert record.getMessage().isprintable()
        assert record.getMessage().count("Z") <= 128 + 1
    caplog.clear()
    with pytest.raises(InvalidToken):
        guard.validate(forge(by="evil RS256", head=header(kid=HOSTILE["crlf"])))
    assert_tame(caplog.records[0].getMessage())


def test_a_check_that_refuses_says_what_it_chose_to_say(caplog: pytest.LogCaptureFixture) -> None:
    def check(token: AccessToken) -> None:
        raise AccessDenied(detail="suspended")

    trusted = Issuer("https://as.example.com", jwks={"keys": [public_jwk(RSA, kid="rs")]})
    guard = TokenValidator(
        trusted,
        audience="https://api.example.com",
        checks=[check],
        clock=lambda: claims()["exp"] - 1,  # type: ignore[operator]
    )
    with pytest.raises(AccessDenied) as refused:
        guard.validate(forge())
    assert [record.getMessage() for record in caplog.records] == ["refused with 403: access_denied: suspended"]
    assert "suspended" not in str(answer(refused.value))


@pytest.mark.parametrize("part", ["header", "payload", "signature"])
def test_the_log_says_which_part_is_malformed(part: str) -> None:
    """By its name alone."""
    parts = dict(zip(("header", "payload", "signature"), forge().split("."), strict=True))
    parts[part] = "e30="
    with pytest.raises(InvalidToken, match=f"^malformed: {part}: not canonical base64url$"):
        validator().validate(".".join(parts.values()))


_NOT_OURS = f"wrong_audience: aud is 'https://orders', not '{AUDIENCE}'"
_SLASH = f"wrong_issuer: iss is '{ISSUER}/', not {ISSUER}: a slash at its end makes it another"
_NO_JWT = "malformed: no JWT: it has no dots. Opaque tokens need Issuer(introspection=...)"


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (forge(claims(aud="https://orders")), _NOT_OURS),
        (forge(claims(iss=f"{ISSUER}/")), _SLASH),
        (forge(claims(iss="https://other")), "wrong_issuer: iss is 'https://other'"),
        ("3fa85f64", _NO_JWT),
        (forge().rpartition(".")[0] + ".", "malformed: signature: none: the token is not signed"),
        ("a.b", "malformed: 2 segments, not three"),
    ],
    ids=["audience", "slash", "issuer", "opaque", "unsigned", "two"],
)
def test_the_log_says_what_is_wrong(token: str, text: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        validator().validate(token)
    assert str(refused.value) == text


def test_a_log_record_holds_text_and_no_frame(caplog: pytest.LogCaptureFixture) -> None:
    judge = validator()
    caplog.clear()
    with pytest.raises(InvalidToken):
        judge.validate("x.y.z")
    (record,) = caplog.records
    assert isinstance(record.args, tuple)
    _, text = record.args
    assert repr(text) == str(text) == "malformed: signature: not canonical base64url"
    assert {type(held) for held in gc.get_referents(text)} <= {Reason, str, type}
