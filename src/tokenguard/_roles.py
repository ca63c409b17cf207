"""The roles that a token names, wherever its issuer keeps them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .errors import InvalidToken, Reason
from .profiles import OUR_AUDIENCE, Profile

NO_ROLES: frozenset[str] = frozenset()


def needs_audience(profile: Profile) -> bool:
    """Whether it takes our audience to know where the roles are."""
    return any(OUR_AUDIENCE in path for path in profile.roles if not isinstance(path, str))


def role_paths(profile: Profile, audience: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The paths to the roles, with each of our audiences where the profile says OUR_AUDIENCE."""
    paths: list[tuple[str, ...]] = []
    for path in profile.roles:
        ways: list[tuple[str, ...]] = [()]
        for name in (path,) if isinstance(path, str) else path:
            names = sorted(audience) if name is OUR_AUDIENCE else (name,)
            ways = [(*way, each) for way in ways for each in names]
        paths += ways
    return tuple(paths)


def read_roles(claims: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> frozenset[str]:
    """The roles at the ends of these paths, all together. A path that leads nowhere has none.

    Raises:
        InvalidToken: at the end is no list of strings, or on the way no object.
    """
    roles: set[str] = set()
    for path in paths:
        found: Any = claims
        for name in path:
            if type(found) is not dict:
                raise _no_roles(path)
            if name not in found:
                break
            found = found[name]
        else:
            if type(found) is not list or not all(type(role) is str for role in found):
                raise _no_roles(path)
            roles.update(found)
    return frozenset(roles)


def _no_roles(path: tuple[str, ...]) -> InvalidToken:
    return InvalidToken(Reason.MALFORMED_CLAIM, f"{'.'.join(path)} is no list of roles")
