"""Scopes and challenges: what is parsed is never more than what was written, what is printed parses back."""

from __future__ import annotations

import re
from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forge import NOW, validator
from tokenguard import Challenge, InvalidToken, Issuer, _text
from tokenguard._claims import ClaimRules, read_claims

VALIDATOR = validator()
RULES = ClaimRules(issuer=Issuer("https://as.example.com"), audience=None)
SCOPE_CHARACTERS = {0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)}  # RFC 6749 s3.3
CHALLENGE_CHARACTERS = {0x20, 0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)}  # RFC 6750 s3

SCOPE = st.text(alphabet=[chr(code) for code in sorted(SCOPE_CHARACTERS)], min_size=1, max_size=12)
ANY_SCOPE = st.text(
    alphabet=st.one_of(st.sampled_from('ab \t\n\x0b\x1c\x85\xa0\u2003\u3000"\\'), st.characters()), max_size=20
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_SCOPE, SCOPE),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
)


def scopes_of(**members: object) -> Set[str] | None:
    try:
        return read_claims({"exp": NOW, **members}, RULES).scopes
    except InvalidToken:
        return None


def is_scope(text: str) -> bool:
    return bool(text) and set(map(ord, text)) <= SCOPE_CHARACTERS


@given(st.lists(SCOPE), st.integers(1, 3))
def test_scopes_are_read_back(scopes: list[str], spaces: int) -> None:
    for name in ("scope", "scp"):
        assert scopes_of(**{name: (" " * spaces).join(scopes)}) == set(scopes)
        assert scopes_of(**{name: scopes}) == set(scopes)
    assert scopes_of(scope=" ".join(scopes), scp=scopes[::-1]) == set(scopes)


@given(ANY_SCOPE)
def test_a_string_is_split_at_spaces_only_or_refused(text: str) -> None:
    items = {item for item in text.split(" ") if item}
    assert scopes_of(scope=text) == (items if all(map(is_scope, items)) else None)


@given(JSON_VALUES, JSON_VALUES)
def test_any_value_is_a_list_of_scopes_or_refused(scope: object, scp: object) -> None:
    granted = scopes_of(scope=scope)
    assert granted is None or all(map(is_scope, granted))
    assert scopes_of(scp=scope) == granted
    other = scopes_of(scp=scp)
    assert scopes_of(scope=scope, scp=scp) == (granted if granted == other else None)


# RFC 9110 s11.2: auth-param = token BWS "=" BWS ( token / quoted-string )
PARAMETER = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:, |\Z)')


def parse_challenge(text: str) -> dict[str, str]:
    scheme, _, rest = text.partition(" ")
    assert scheme == "Bearer"
    found: dict[str, str] = {}
    at = 0
    while at < len(rest):
        match = PARAMETER.match(rest, at)
        assert match is not None, text
        assert match[1] not in found, text
        found[match[1]] = match[2]
        at = match.end()
    return found


TEXT = st.text(alphabet=[chr(code) for code in sorted(CHALLENGE_CHARACTERS)], min_size=1, max_size=20)
SOUND = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("realm", "error", "error_description", "acr_values"), TEXT),
        "scope": st.lists(SCOPE, min_size=1, max_size=4).map(" ".join),
    },
)
SPOIL = st.one_of(st.sampled_from('"\\\r\n\0\x7f\x1f \u00e9,='), st.characters())


@given(SOUND, st.one_of(st.none(), st.integers(0)), st.one_of(st.none(), SPOIL), st.data())
def test_a_challenge_prints_what_it_was_given_or_is_none(
    said: dict[str, str], age: int | None, spoil: str | None, data: st.DataObject
) -> None:  # C8
    if said and spoil is not None:
        name = data.draw(st.sampled_from(sorted(said)))
        at = data.draw(st.integers(0, len(said[name])))
        said[name] = said[name][:at] + spoil + said[name][at:]
    sound = (
        all(set(map(ord, value)) <= CHALLENGE_CHARACTERS for value in said.values())
        and all(map(is_scope, said.get("scope", "x").split(" ")))
        and (bool(said) or age is not None)
    )
    try:
        printed = str(
            Challenge(
                realm=said.get("realm"),
                error=said.get("error"),
                error_description=said.get("error_description"),
                scope=said.get("scope"),
                acr_values=said.get("acr_values"),
                max_age=age,
            )
        )
    except ValueError:
        assert not sound
        return
    assert sound
    assert printed.isascii()
    assert printed.isprintable()
    assert parse_challenge(printed) == said | ({} if age is None else {"max_age": str(age)})


@pytest.mark.parametrize("name", ["realm", "error", "error_description", "scope", "acr_values"])
def test_a_challenge_has_no_empty_parameter(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Challenge(**{"max_age": 1, name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", [" ", " a", "a ", "a  b", 'a"', "a\\", "a\tb", "a\xa0b"])
def test_a_challenge_names_scopes_separated_by_single_spaces(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        Challenge(realm="api", scope=scope)


@given(st.text(max_size=200))
def test_the_challenge_of_a_refusal_holds_nothing_of_the_token(token: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        VALIDATOR.validate(token)
    assert parse_challenge(str(refused.value.challenge)) == {
        "realm": "https://api.example.com",
        "error": "invalid_token",
        "error_description": "The access token is invalid",
    }


class _Counted:
    """A pattern that notes how much text it was given."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.longest = 0

    def sub(self, to: str, text: str) -> str:
        self.longest = max(self.longest, len(text))
        return self.pattern.sub(to, text)


@pytest.mark.parametrize("value", ["eyJ" * 5000, "ewo" * 5000, ["eyJ" * 5000], ["a"] * 5000, "\x00" * 5000])
def test_what_a_log_line_costs_does_not_grow_with_the_text(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _Counted(_text._JWT)
    monkeypatch.setattr(_text, "_JWT", counted)
    assert len(_text.for_log(value)) <= 128
    assert 0 < counted.longest <= 512


def test_the_search_for_tokens_goes_through_no_run_of_characters_twice() -> None:
    assert "}+" in _text._JWT.pattern


@pytest.mark.parametrize("length", [8, 300, 511, 512, 513, 5000])
def test_a_token_that_is_cut_is_left_out_too(length: int) -> None:
    token = ("eyJhbGciOiJSUzI1NiJ9" * 300)[:length] + ".e30.c2ln"
    for value in (token, [token], {"a": token}, f"see {token}"):
        assert "eyJhbGci" not in _text.for_log(value)
        assert "[a token?]" in _text.for_log(value)
