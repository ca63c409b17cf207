"""Issuers by the dozen: one authorization server per tenant, at addresses that differ in the tenant's name alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final

from . import profiles
from ._numbers import check_count
from .config import AnyAudience, Issuer, KeyPolicy
from .errors import ConfigurationError
from .introspection import Introspection
from .profiles import Profile

PLACEHOLDER: Final = "{tenant}"

# In a host one label; in a path one segment, and none that a path could be left with.
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SEGMENT = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"


_DEFAULT_KEYS = KeyPolicy()


@dataclass(frozen=True, slots=True)
class TenantIssuers:
    """The authorization servers of all tenants of one service. Each is an `Issuer` with the options given here.

    Nothing is fetched for a tenant that `allowed` does not name. Those in use keep their keys; of those that were not
    used for long, the keys are let go.

    Args:
        template: the issuers' URL, with `{tenant}` where the tenant stands: a label of the host, or a segment of the
            path.
        allowed: a plain function that gets the tenant as it stands in a token's `iss`, and says whether it is one of
            ours: True or False. It is asked on every request, so that a tenant that leaves is out at once: look in
            memory, not in a database.
        most: tenants whose keys are kept at a time.
        jwks_uri: where the keys are, with `{tenant}` in it; without it, all tenants have one key set in common (as at
            Entra ID), and a key in it that names its `issuer` is good for that tenant alone.
        key_issuer: how the keys in such a set name a tenant's issuer, with `{tenant}` in it, if not by its URL: keys of
            Entra ID name that of version 2 for tokens of version 1 too.
        metadata_url: where the metadata is, with `{tenant}` in it, if not at a well-known address.
        introspection: its `endpoint` may have `{tenant}` in it.
        audience, algorithms, profile, leeway, max_token_age, keys, allow_insecure_http: as of `Issuer`; in
            `Profile.issuer_aliases` too `{tenant}` stands for the tenant.

    Raises:
        ConfigurationError: the options contradict each other.

    >>> tenants = TenantIssuers("https://{tenant}.example.com", allowed={"acme", "globex"}.__contains__)
    >>> tenants.url("acme"), tenants.tenant("https://acme.example.com"), tenants.tenant("https://example.com")
    ('https://acme.example.com', 'acme', None)
    """

    template: str
    _: KW_ONLY
    allowed: Callable[[str], bool]
    most: int = 1000
    jwks_uri: str | None = None
    key_issuer: str | None = None
    metadata_url: str | None = None
    audience: str | Collection[str] | AnyAudience | None = field(default=None, hash=False)
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
    profile: Profile = profiles.BASE
    leeway: float = 30
    max_token_age: float | None = None
    introspection: Introspection | None = None
    keys: KeyPolicy = _DEFAULT_KEYS
    allow_insecure_http: bool = False
    _urls: tuple[re.Pattern[str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        said: Any = self  # what is annotated need not hold
        if not isinstance(said.template, str) or said.template.count(PLACEHOLDER) != 1:
            raise ConfigurationError(
                f'template is {said.template!r}: a URL with {PLACEHOLDER} in it once: "https://{PLACEHOLDER}.example.com"'
            )
        if not callable(said.allowed) or inspect.iscoroutinefunction(said.allowed):
            raise ConfigurationError(f"allowed is {said.allowed!r}: a plain function of the tenant, True for ours")
        check_count("most", said.most)
        if self.key_issuer is not None and (not self.shares_keys or PLACEHOLDER not in self.key_issuer):
            raise ConfigurationError(
                f"key_issuer is {self.key_issuer!r}: a URL with {PLACEHOLDER} in it, beside a jwks_uri without"
            )
        if self.metadata_url is not None and PLACEHOLDER not in self.metadata_url:
            raise ConfigurationError(f"metadata_url is the same for all tenants: put {PLACEHOLDER} in it")
        like = self.issuer("tenant")  # whatever is wrong with it shows now
        aliases = [alias for alias in self.profile.issuer_aliases if PLACEHOLDER in alias]
        object.__setattr__(self, "algorithms", like.algorithms)
        object.__setattr__(self, "_urls", tuple(map(_pattern, (self.template, *aliases))))

    def url(self, tenant: str) -> str:
        """The URL of a tenant's issuer."""
        return self.template.replace(PLACEHOLDER, tenant)

    def tenant(self, url: str) -> str | None:
        """The tenant whose issuer has this URL, or alias; None if it is of another form."""
        for pattern in self._urls:
            match = pattern.fullmatch(url)
            if match is not None:
                return match[1]
        return None

    def issuer(self, tenant: str) -> Issuer:
        """The issuer of a tenant."""

        def filled(text: str | None) -> str | None:
            return None if text is None else text.replace(PLACEHOLDER, tenant)

        profile: Any = self.profile  # what is annotated need not hold; Issuer says so
        introspection: Any = self.introspection
        if isinstance(profile, Profile) and profile.issuer_aliases:
            aliases = tuple(alias.replace(PLACEHOLDER, tenant) for alias in profile.issuer_aliases)
            profile = replace(profile, issuer_aliases=aliases)
        if isinstance(introspection, Introspection) and introspection.endpoint is not None:
            introspection = replace(introspection, endpoint=filled(introspection.endpoint))
        return Issuer(
            self.url(tenant),
            jwks_uri=filled(self.jwks_uri),
            metadata_url=filled(self.metadata_url),
            audience=self.audience,
            algorithms=self.algorithms,
            profile=profile,
            leeway=self.leeway,
            max_token_age=self.max_token_age,
            introspection=introspection,
            keys=self.keys,
            allow_insecure_http=self.allow_insecure_http,
        )

    def key_issuers(self, tenant: str) -> frozenset[str]:
        """How keys of a set that tenants share may name the issuer of this one."""
        issuer = self.issuer(tenant)
        named = () if self.key_issuer is None else (self.key_issuer.replace(PLACEHOLDER, tenant),)
        return frozenset({issuer.url, *issuer.profile.issuer_aliases, *named})

    @property
    def shares_keys(self) -> bool:
        """Whether all tenants have one key set."""
        return self.jwks_uri is not None and PLACEHOLDER not in self.jwks_uri

    def allows(self, tenant: str) -> bool:
        """Whether a tenant is one of ours now.

        Raises:
            ConfigurationError: `allowed` gave no clear answer.
        """
        verdict: Any = self.allowed(tenant)  # what is annotated need not hold
        if type(verdict) is not bool:
            if inspect.iscoroutine(verdict):
                verdict.close()
            raise ConfigurationError(
                f"allowed returned {type(verdict).__name__} for a tenant: True or False, and nothing to be awaited"
            )
        return verdict


def _pattern(template: str) -> re.Pattern[str]:
    before, _, after = template.partition(PLACEHOLDER)
    in_host = before.count("/") < 3
    return re.compile(f"{re.escape(before)}({_LABEL if in_host else _SEGMENT}){re.escape(after)}")
