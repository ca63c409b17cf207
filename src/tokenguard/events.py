"""What happens inside, for monitoring: frozen values that `on_event` is called with.

None of them holds token text. Key ids are quoted and cut; a client id is as the issuer signed it. They
are sent on whatever thread they happen; be quick, and do not validate tokens in there.

>>> def on_event(event):
...     match event:
...         case RefreshFailed(issuer=issuer, trouble=trouble): print("page somebody:", issuer, trouble)
>>> failed = RefreshFailed(issuer="https://as.example.com", trouble="status 500", failures=3, retry_in=4, stale=False)
>>> on_event(failed)
page somebody: https://as.example.com status 500
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .errors import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysRefreshed:
    """A usable key set came, or the issuer confirmed the one at hand (304). Key ids are quoted as for a log.

    Args:
        issuer: whose.
        key_ids: of all usable keys.
        added, removed: against the set before; a key replaced under its kid is in both.
        lifetime: seconds for which the set is fresh.
    """

    issuer: str
    key_ids: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    lifetime: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySkipped:
    """A key of a set does not serve. Told when it first shows, not at every refresh."""

    issuer: str
    kid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshFailed:
    """A fetch yielded no usable key set; the one at hand stays.

    Args:
        issuer: whose.
        trouble: what went wrong, for people.
        failures: how many in a row.
        retry_in: seconds until the next try may start.
        stale: whether keys past their lifetime are being served meanwhile.
    """

    issuer: str
    trouble: str
    failures: int
    retry_in: float
    stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryFailed:
    """The issuer's metadata is out of reach or wrong; the key set is fetched from where it was last known to be."""

    issuer: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingStale:
    """Keys are past their lifetime and still serve, as the issuer is out of reach.

    Args:
        issuer: whose.
        age: seconds since the set was last confirmed.
        ends_in: seconds until it serves no more and requests get 503.
    """

    issuer: str
    age: float
    ends_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KidRefused:
    """A token named a key that the issuer does not publish."""

    issuer: str
    kid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionFailed:
    """An introspection endpoint said nothing about a token; the request gets 503.

    Args:
        issuer: whose.
        trouble: what went wrong, for people.
        credentials: whether it refuses the credentials that we show it: nothing works until somebody mends that.
        pause: seconds for which it is not asked any more; 0: it is.
    """

    issuer: str
    trouble: str
    credentials: bool
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionRecovered:
    """An introspection endpoint that was left alone for a while answers again."""

    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAccepted:
    """A token passed every check of the validator."""

    issuer: str
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """A request was refused, by the validator or by what a route asks for.

    Args:
        reason: why.
        issuer: the issuer it claims to be of, where that is one of the configured ones.
        client_id: the client it was issued to, where the token itself was proven.
    """

    reason: Reason
    issuer: str | None
    client_id: str | None


Event: TypeAlias = (
    KeysRefreshed
    | KeySkipped
    | RefreshFailed
    | DiscoveryFailed
    | ServingStale
    | KidRefused
    | IntrospectionFailed
    | IntrospectionRecovered
    | RequestAccepted
    | RequestRefused
)
