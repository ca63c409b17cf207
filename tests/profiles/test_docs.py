"""docs/profiles.md: its examples run, and its tables say what the profiles are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.forge import NOW
from tests.profiles.providers import PROVIDERS
from tokenguard import AccessDenied, AccessToken, InvalidToken, Profile, Reason, profiles
from tokenguard.denylist import Denylist

TEXT = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
READY = {name: profile for name, profile in vars(profiles).items() if isinstance(profile, Profile)}


def run(words: str) -> dict[str, Any]:
    (source,) = (example for example in EXAMPLES if words in example)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace


def table(head: str) -> list[list[str]]:
    lines = TEXT[TEXT.index(head) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def dotted(path: object) -> str:
    return ".".join(str(getattr(name, "name", name)) for name in (path if isinstance(path, tuple) else (path,)))


def kinds(profile: Profile) -> str:
    return ", ".join(
        f"{claim} = {' '.join(sorted(set(values) - {''}))}{', or absent' if '' in values else ''}"
        for claim, values in dict(profile.kind).items()
    )


def test_each_example_is_tested_here() -> None:
    assert len(EXAMPLES) == 5


def test_each_ready_profile_stands_there_as_it_is() -> None:
    documented = {row[0].strip("`"): row[1:] for row in table("| profile | typ |")}
    assert list(documented) == list(READY)
    for name, (types, required, kind, scopes, client, roles) in documented.items():
        profile = READY[name]
        assert {"" if typ == "none" else typ for typ in types.split(", ")} == profile.types
        assert required == ", ".join(
            names if isinstance(names, str) else " or ".join(names) for names in profile.required
        )
        assert kind == kinds(profile)
        assert scopes == ", ".join(profile.scopes)
        assert client == ", ".join(profile.client)
        assert roles == ", ".join(map(dotted, profile.roles))


def test_each_provider_has_an_issuer_there() -> None:
    named = [name for row in table("| profile | issuer |") for name in re.findall(r"`(\w+)`", row[0])]
    assert named == [name for name in READY if name not in {"BASE", "RFC9068"}]


def test_each_field_is_spoken_of() -> None:
    for field in Profile.__dataclass_fields__:
        assert re.search(rf"\b{field}\b", TEXT), field


def test_the_first_example_makes_a_validator() -> None:
    assert run("profiles.KEYCLOAK")["validator"].realm == "orders-api"


def test_the_changed_profile_reads_roles() -> None:
    profile = run("with_roles")["with_roles"]
    auth0 = PROVIDERS["auth0"]
    token = auth0.validator(profile=profile).validate(auth0.token(**{"https://shop.example.com/roles": ["clerk"]}))  # type: ignore[arg-type]
    assert token.roles == {"clerk"}


def test_the_own_profile_is_sound() -> None:
    profile = run('name="in-house"')["profile"]
    assert profile.kind == (("use", frozenset({"access"})),)


def test_the_check_looks_at_roles() -> None:
    staff_only = run("staff_only")["staff_only"]
    token = AccessToken(issuer="https://as.example.com", expires_at=NOW, roles=frozenset({"staff"}))
    staff_only(token)
    with pytest.raises(AccessDenied):
        staff_only(AccessToken(issuer="https://as.example.com", expires_at=NOW))


def test_the_denylist_example_denies() -> None:
    example = run("Denylist()")
    denylist: Denylist = example["denylist"]
    now = example["time"].time()
    mine, other = (
        AccessToken(issuer=example["ISSUER"], subject="u", token_id=name, issued_at=now - 9, expires_at=now + 9)
        for name in ("mine", "other")
    )
    example["sign_out"](mine)
    denylist(other)
    with pytest.raises(InvalidToken) as refused:
        denylist(mine)
    assert refused.value.reason is Reason.REVOKED
    example["lock_out"]("u")
    with pytest.raises(InvalidToken):
        denylist(other)
