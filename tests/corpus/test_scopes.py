"""V10, C25: what a route requires, against what the token grants."""

from __future__ import annotations

import pytest

from tests.corpus.case import validator_for
from tests.forge import claims, forge
from tokenguard import AccessToken, InsufficientScope, Reason
from tokenguard.requirements import require


def granted(**members: object) -> AccessToken:
    return validator_for("base").validate(forge(claims(**members)))


@pytest.mark.parametrize("scope", ["read write", "write read", "write  x read", ["read", "write"], ["write", "read"]])
def test_required_scopes_suffice_in_any_order(scope: object) -> None:  # V10
    require(("read", "write"), ()).check(granted(scope=scope))
    require(("write", "read"), ()).check(granted(scp=scope))
    require((), ("admin", "read")).check(granted(scope=scope))


@pytest.mark.parametrize(
    "scope",
    ["", "write", "Read", "READ", "reading", "rea", "read:all", "x.read", "read,write", "read;write", "read+write", "*",
     "read/*", "all", "!read", "-read", "re ad", "write x", "read%20write", [], ["write"], ["reading"], ["Read"],
     ["read,write"], ["*"]],
)  # fmt: skip
def test_nothing_but_the_very_scope_suffices(scope: object) -> None:  # C25
    for members in ({"scope": scope}, {"scp": scope}):
        with pytest.raises(InsufficientScope) as refused:
            require(("read",), ()).check(granted(**members))
        assert refused.value.status == 403
        assert refused.value.reason is Reason.INSUFFICIENT_SCOPE
        assert refused.value.required == ("read",)


def test_a_token_without_scopes_has_none() -> None:
    assert granted().scopes == frozenset()
    for requirement in (require(("read",), ()), require((), ("read", "write"))):
        with pytest.raises(InsufficientScope):
            requirement.check(granted())


@pytest.mark.parametrize("name", ["scopes", "permissions", "roles", "SCOPE", "Scp", "scope ", "authorities"])
def test_no_other_claim_grants_scopes(name: str) -> None:
    assert granted(**{name: "read"}).scopes == frozenset()


def test_empty_items_of_a_string_are_no_scopes() -> None:
    assert granted(scope="  read   write ").scopes == {"read", "write"}
