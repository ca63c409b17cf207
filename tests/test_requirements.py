"""What a route asks of a token."""

from __future__ import annotations

from typing import Any

import pytest

from tokenguard import AccessToken, ConfigurationError, InsufficientScope
from tokenguard.requirements import ANY_TOKEN, Requirement, require


def _token(*scopes: str) -> AccessToken:
    return AccessToken(issuer="https://as.example.com", expires_at=1, scopes=frozenset(scopes))


@pytest.mark.parametrize(
    ("requirement", "scopes"),
    [
        (ANY_TOKEN, ()),
        (require(["a"], ()), ("a",)),
        (require(["a", "b"], ()), ("b", "c", "a")),
        (require([], ["a", "b"]), ("b",)),
        (require(["x"], ["a", "b"]), ("x", "a")),
    ],
)
def test_a_token_with_the_scopes_passes(requirement: Requirement, scopes: tuple[str, ...]) -> None:
    requirement.check(_token(*scopes))


@pytest.mark.parametrize(
    ("requirement", "scopes"),
    [
        (require(["a"], ()), ()),
        (require(["a", "b"], ()), ("a",)),
        (require(["read"], ()), ("READ", "read:users", "*", "rea")),
        (require([], ["a", "b"]), ("c",)),
        (require(["x"], ["a", "b"]), ("x",)),
        (require(["x"], ["a", "b"]), ("a", "b")),
    ],
)
def test_a_token_without_them_is_refused_and_told_all_that_the_route_needs(
    requirement: Requirement, scopes: tuple[str, ...]
) -> None:
    with pytest.raises(InsufficientScope) as caught:  # C10, C67
        requirement.check(_token(*scopes))
    assert caught.value.required == caught.value.scope == requirement.scope


def test_the_log_says_what_is_missing() -> None:
    with pytest.raises(InsufficientScope, match=r"^insufficient_scope: lacks b$"):
        require(["a", "b"], ()).check(_token("a"))
    with pytest.raises(InsufficientScope, match=r"^insufficient_scope: has none of a b$"):
        require([], ["a", "b"]).check(_token("c"))


@pytest.mark.parametrize(
    ("all_of", "any_of", "message"),
    [
        ([], (), "use require_token"),
        (["read write"], (), 'write "read", "write"'),
        ([" "], (), "write a name"),
        ([""], (), "no single scope"),
        (['a"b'], (), "no single scope"),
        (["é"], (), "no single scope"),
        ([len], (), "has its parentheses"),
        (["a"], "b", r'any_of=\("b",\)'),
        (["a"], 7, "any_of is a collection"),
        (["a"], [7], 'a scope is a string, not 7: write a name, such as "read:users"'),
        ([["a", "b"]], (), r"not \['a', 'b'\]: write \"a\", \"b\" without the list"),
        ([("a", "b")], (), 'write "a", "b" without the list'),
        ([{"a"}], (), 'write "a" without the list'),
        ([[]], (), "write each scope without the list"),
    ],
)
def test_what_can_never_be_met_or_protects_nothing_is_refused(all_of: list[Any], any_of: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        require(all_of, any_of)
