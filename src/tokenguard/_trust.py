"""Whom we trust: each issuer with the rules for its tokens, its keys, and how to ask it. Found by the exact `iss`."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ._claims import ClaimRules
from ._fetch import Fetch
from ._introspection.introspector import Introspector
from ._keys.jwk import Key
from ._keys.jwks import KeyIndex, KeySet
from ._keys.lookup import Keys, StaticKeys
from ._keys.remote import RemoteKeys
from .config import AnyAudience, Issuer, audiences
from .errors import ConfigurationError, InvalidToken, Reason
from .events import Event, KeySkipped
from .tenants import PLACEHOLDER, TenantIssuers
from .token import AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """An issuer with its keys, the rules for its tokens, and how to ask it about them."""

    issuer: Issuer
    rules: ClaimRules
    keys: Keys
    introspector: Introspector | None

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is under way here."""
        self.keys.after_fork()
        if self.introspector is not None:
            self.introspector.after_fork()


class Trust:
    """All issuers: those that are named, and those of tenants as they come.

    Args:
        issuers: whom to trust.
        audience: ours, for issuers that name none of their own; None for any.
        due: where key stores leave fetches that nobody waits for.
        emit: told of what happens.
        random: a number from 0 to 1, so that a fleet does nothing in step.

    Attributes:
        introspecting: how to ask those that are named, as far as they can be asked about opaque tokens.
        tenants: those that are not named, by the service whose they are.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer | TenantIssuers],
        *,
        audience: frozenset[str] | None,
        due: deque[Fetch],
        emit: Callable[[Event], None],
        random: Callable[[], float],
    ) -> None:
        self._audience = audience
        self._due = due
        self._emit = emit
        self._random = random
        named = [issuer for issuer in issuers if isinstance(issuer, Issuer)]
        self.tenants = tuple(_Tenants(self, like) for like in issuers if isinstance(like, TenantIssuers))
        self.named: Mapping[str, Trusted] = {issuer.url: self.trusted(issuer) for issuer in named}
        self._by_iss = _by_iss(self.named.values())
        self.introspecting = tuple(each.introspector for each in self.named.values() if each.introspector)
        # Nearly always there are no tenants: then finding an issuer is one look into a dictionary.
        self.find: Callable[[str], Trusted | None] = self._find if self.tenants else self._by_iss.get

    def known(self) -> dict[str, Trusted]:
        """By URL, those that have keys or may be asked now."""
        return {**self.named, **{url: each for tenants in self.tenants for url, each in tenants.known().items()}}

    def is_tenant(self, iss: str) -> bool:
        """Whether it has the form of a tenant's issuer, be it one of ours or not."""
        return any(tenants.names(iss) for tenants in self.tenants)

    @property
    def keys(self) -> dict[str, Keys]:
        """All keys that are needed from the start: of issuers that are named, and what tenants have in common."""
        shared = {tenants.template: tenants.shared for tenants in self.tenants if tenants.shared is not None}
        return {**{url: trusted.keys for url, trusted in self.named.items()}, **shared}

    def recheck(self, token: AccessToken) -> None:
        """Whether the issuer of a proven token is still one of ours. Those that are named always are.

        Raises:
            InvalidToken: its tenant is not any more.
        """
        if token.issuer not in self.named and not any(tenants.recheck(token.issuer) for tenants in self.tenants):
            raise InvalidToken(Reason.WRONG_ISSUER, "its tenant is none of ours any more")

    def trusted(self, issuer: Issuer, keys: Keys | None = None) -> Trusted:
        """An issuer, with new keys unless some are given."""
        rules = ClaimRules(issuer=issuer, audience=self._audience if issuer.audience is None else _set(issuer.audience))
        keys = keys or self._keys(issuer)
        asked = issuer.introspection
        introspector = None
        if asked is not None:
            introspector = Introspector(rules, asked, keys, due=self._due, emit=self._emit, random=self._random)
        return Trusted(issuer=issuer, rules=rules, keys=keys, introspector=introspector)

    def remote_keys(self, issuer: Issuer) -> RemoteKeys:
        return RemoteKeys(issuer, self._due, self._emit, self._random)

    def _find(self, iss: str) -> Trusted | None:
        found = self._by_iss.get(iss)
        for tenants in self.tenants if found is None else ():
            found = tenants.find(iss)
            if found is not None:
                break
        return found

    def _keys(self, issuer: Issuer) -> Keys:
        if not issuer.has_keys:
            return StaticKeys(None)
        if issuer.jwks is None:
            return self.remote_keys(issuer)
        keys = _key_set(issuer, issuer.jwks)
        for skipped in keys.skipped:
            self._emit(KeySkipped(issuer=issuer.url, kid=skipped.kid, why=skipped.why))
        return StaticKeys(keys)

    def after_fork(self) -> None:
        """In a child process: nothing of the parent's is under way here."""
        for tenants in self.tenants:
            tenants.after_fork()
        for trusted in self.named.values():
            trusted.after_fork()


class _Tenants:
    """The issuers of one service's tenants that were in use lately.

    Whoever makes up a token can name a tenant. So those that are only named are kept apart from those of which a token
    was good, and crowd out nobody but one another.

    Attributes:
        policy: which of their tokens they are asked about; None where they cannot be asked.
    """

    def __init__(self, trust: Trust, like: TenantIssuers) -> None:
        self.template = like.template
        self.policy = None if like.introspection is None else like.introspection.policy
        self._trust = trust
        self._like = like
        self._lock = threading.Lock()
        self._proven: OrderedDict[str, Trusted] = OrderedDict()  # by tenant; the latest comes last
        self._named: OrderedDict[str, Trusted] = OrderedDict()
        # Named by the template in the log: it is nobody's set alone.
        shared = like.shares_keys and like.issuer("tenant").has_keys
        self.shared = trust.remote_keys(_common(like)) if shared else None

    def find(self, iss: str) -> Trusted | None:
        tenant = self._like.tenant(iss)
        if tenant is None or not self._like.allows(tenant):
            return None
        with self._lock:
            trusted = self._proven.get(tenant) or self._named.get(tenant)
            if trusted is None:
                issuer = self._like.issuer(tenant)
                keys = None if self.shared is None else _TenantKeys(self.shared, tenant, self._like)
                trusted = self._trust.trusted(issuer, keys)
                self._keep(self._named, tenant, trusted)
        return trusted

    def names(self, iss: str) -> bool:
        return self._like.tenant(iss) is not None

    def recheck(self, url: str) -> bool:
        """Whether the issuer of a proven token is one of these, still. Its keys are those to keep."""
        trusted = self.find(url)
        tenant = self._like.tenant(url)
        if trusted is None or tenant is None:
            return False
        with self._lock:
            self._named.pop(tenant, None)
            self._keep(self._proven, tenant, trusted)
        return True

    def _keep(self, kept: OrderedDict[str, Trusted], tenant: str, trusted: Trusted) -> None:
        kept[tenant] = trusted
        kept.move_to_end(tenant)
        if len(kept) > self._like.most:
            kept.popitem(last=False)

    def known(self) -> dict[str, Trusted]:
        """Those of which a token was good, by URL."""
        with self._lock:
            return {trusted.issuer.url: trusted for trusted in self._proven.values()}

    def after_fork(self) -> None:
        """In a child process: a lock that was held stays so."""
        self._lock = threading.Lock()
        if self.shared is not None:
            self.shared.after_fork()
        for trusted in (*self._proven.values(), *self._named.values()):
            trusted.after_fork()


class _TenantKeys:
    """One tenant's part of a key set that all tenants share: what names no issuer, or this one."""

    attend_at = -math.inf  # when to attend to a set that others use too, is for the set to say
    at_hand: KeyIndex = MappingProxyType({})  # and which key is this tenant's, for `find`

    def __init__(self, shared: RemoteKeys, tenant: str, like: TenantIssuers) -> None:
        self._shared = shared
        self._tenant = tenant
        self._names = like.key_issuers(tenant)
        self.doubt = shared.doubt
        self.load = shared.load
        self.health = shared.health

    def attend(self, tick: float) -> bool:
        return tick < self._shared.attend_at or self._shared.attend(tick)

    def find(self, kid: str | None, alg: str, tick: float, *, attempt: int) -> Key | Fetch:
        key = self._shared.find(kid, alg, tick, attempt=attempt)
        # Entra ID names the issuer of a key as it names it in metadata, with "{tenantid}" for any of them.
        if isinstance(key, Key) and not self._is_ours(key):
            raise InvalidToken(Reason.UNKNOWN_KEY, "the key is of another tenant's issuer")
        return key

    def after_fork(self) -> None:
        """The set that they share is told, once for all."""

    def _is_ours(self, key: Key) -> bool:
        return key.issuer is None or key.issuer.replace("{tenantid}", self._tenant) in self._names


def _common(like: TenantIssuers) -> Issuer:
    """Whose a shared key set is: an issuer as good as any, under the template's name."""
    return replace(like.issuer("tenant"), url=like.template, introspection=None)


def _by_iss(trusted: Iterable[Trusted]) -> dict[str, Trusted]:
    found: dict[str, Trusted] = {}
    for each in trusted:
        for iss in (each.issuer.url, *each.issuer.profile.issuer_aliases):
            if PLACEHOLDER in iss:
                continue
            if iss in found:
                raise ConfigurationError(
                    f"{iss} names both {found[iss].issuer.url} and {each.issuer.url}: a token must have one issuer"
                )
            found[iss] = each
    return found


def _key_set(issuer: Issuer, document: Mapping[str, Any]) -> KeySet:
    try:
        return KeySet(document, issuer)
    except ValueError as error:
        trouble = str(error)
    raise ConfigurationError(
        f"jwks of {issuer.url}: {trouble}; it needs a public key for {', '.join(issuer.algorithms)}"
    )


def _set(audience: str | Iterable[str] | AnyAudience) -> frozenset[str] | None:
    names = audiences(audience, where="audience")
    return None if names is None else frozenset(names)
