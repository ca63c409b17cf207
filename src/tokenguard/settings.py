"""A validator from configuration: a mapping or the environment, with one set of names.

    TOKENGUARD = {"ISSUER": "https://as.example.com", "AUDIENCE": "https://api.example.com"}
    validator = validator_from(TOKENGUARD)

    $ export TOKENGUARD_ISSUER=https://as.example.com TOKENGUARD_AUDIENCE=https://api.example.com
    validator = validator_from_environment()

All names are in `docs/settings.md`. What none of them says (several issuers, tenants, checks) is said in code, with
`TokenValidator`. Everything is read once, when the validator is made.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypedDict, Unpack

from . import _settings_forms as forms
from ._core import Check
from ._introspection.opaque import Select
from ._settings_forms import Form
from ._transport import HttpClient
from .config import Issuer
from .errors import ConfigurationError
from .events import Event
from .introspection import Introspection
from .validator import TokenValidator

__all__ = ["NAMES", "ValidatorOptions", "validator_from", "validator_from_environment"]


class ValidatorOptions(TypedDict, total=False):
    """What only code can say: arguments of `TokenValidator` that are functions or objects."""

    checks: Collection[Check]
    select: Select | None
    http_client: HttpClient | None
    on_event: Callable[[Event], None] | None
    clock: Callable[[], float]
    monotonic: Callable[[], float]


def validator_from(
    settings: Mapping[str, Any],
    *,
    where: str = "TOKENGUARD",
    also: Collection[str] = (),
    **options: Unpack[ValidatorOptions],
) -> TokenValidator:
    """Make a validator of a mapping, such as Django's `settings.TOKENGUARD` or Flask's `app.config["TOKENGUARD"]`.

    Args:
        settings: `ISSUER`, `AUDIENCE` and what else is in `docs/settings.md`, with Python's own values: numbers, True
            and False, lists.
        where: how errors call the mapping.
        also: further names that it may hold, for whoever calls to look at; nothing here does.
        options: arguments of `TokenValidator` that no setting can say: `checks`, `on_event` and the like.

    Raises:
        ConfigurationError: a name is unknown or missing, a value of the wrong type, empty or impossible, a file cannot
            be read; the message names the setting and never shows a secret.

    >>> validator = validator_from({"ISSUER": "https://as.example.com", "AUDIENCE": ["orders", "shop"]})
    >>> validator.realm
    'orders'
    """
    said: Any = settings  # what is annotated need not hold
    if not isinstance(said, Mapping):  # and is not shown: it may be the secret itself
        raise ConfigurationError(
            f'{where} is of type {type(said).__name__}: write {where} = {{"ISSUER": "https://...", "AUDIENCE": "..."}}'
        )
    return build(said, also, Source(opening=f"{where}: ", call=lambda name: f"{where}[{name!r}]"), options)


def validator_from_environment(
    environ: Mapping[str, str] = os.environ,
    prefix: str = "TOKENGUARD_",
    *,
    also: Collection[str] = (),
    **options: Unpack[ValidatorOptions],
) -> TokenValidator:
    """Make a validator of environment variables: `TOKENGUARD_ISSUER`, `TOKENGUARD_AUDIENCE` and so on.

    Lists are separated by spaces. Switches are exactly `true`, `on` or `1`, and `false`, `off` or `0`.

    Args:
        environ: the variables.
        prefix: what stands before each name. No other variable may begin so.
        also: further names (without the prefix) that it may hold; nothing here looks at them.
        options: arguments of `TokenValidator` that no setting can say: `checks`, `on_event` and the like.

    Raises:
        ConfigurationError: as for `validator_from`.

    >>> variables = {"TOKENGUARD_ISSUER": "https://as.example.com", "TOKENGUARD_AUDIENCE": "orders shop"}
    >>> validator_from_environment(variables).realm
    'orders'
    >>> validator_from_environment({**variables, "TOKENGUARD_LEEWAI": "10"})
    Traceback (most recent call last):
    tokenguard.errors.ConfigurationError: TOKENGUARD_LEEWAI is no setting: did you mean TOKENGUARD_LEEWAY?
    """
    said: Any = prefix  # what is annotated need not hold
    if not isinstance(said, str) or not said:
        raise ConfigurationError(f'prefix is {said!r}: what stands before each name, such as "TOKENGUARD_"')
    ours = {name.removeprefix(prefix): text for name, text in environ.items() if name.startswith(prefix)}
    return build(ours, also, Source(opening=f"{prefix}*: ", call=lambda name: f"{prefix}{name}", written=True), options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """For our own modules: where settings come from.

    Attributes:
        opening: how an error begins that concerns more than one of them.
        call: how one is called there.
        written: whether all values are texts.
    """

    opening: str
    call: Callable[[object], str]
    written: bool = False


class _Owner(Enum):
    """Whose argument a setting becomes."""

    VALIDATOR = auto()
    ISSUER = auto()
    INTROSPECTION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    form: Form
    owner: _Owner
    option: str


def build(
    settings: Mapping[str, Any], also: Collection[str], source: Source, options: ValidatorOptions
) -> TokenValidator:
    """For our own modules: what `validator_from` does, for settings of any source."""
    if isinstance(also, str):
        raise ConfigurationError(f'also is {also!r}: a collection of names, such as also=("{also}",)')
    said = {name: value for name, value in settings.items() if name not in also}
    for name in said:
        if name not in _SETTINGS:
            raise ConfigurationError(no_setting(name, _SETTINGS, source.call))
    for name in ("ISSUER", "AUDIENCE"):
        if name not in said:
            raise ConfigurationError(f"{source.call(name)} is missing: {_MISSING[name]}")
    arguments: dict[_Owner, dict[str, Any]] = {owner: {} for owner in _Owner}
    sources: dict[tuple[_Owner, str], str] = {}
    for name, value in said.items():
        setting = _SETTINGS[name]
        other = sources.setdefault((setting.owner, setting.option), name)
        if other != name:
            raise ConfigurationError(f"{source.call(other)} and {source.call(name)} say the same: keep one")
        arguments[setting.owner][setting.option] = _value(value, setting.form, name, source)
    try:
        if arguments[_Owner.INTROSPECTION]:
            arguments[_Owner.ISSUER]["introspection"] = Introspection(**arguments[_Owner.INTROSPECTION])
        return TokenValidator(Issuer(**arguments[_Owner.ISSUER]), **arguments[_Owner.VALIDATOR], **options)
    except ConfigurationError as error:
        trouble = str(error)
    raise ConfigurationError(f"{source.opening}{trouble}{_called(trouble, said, source)}")


def _called(trouble: str, said: Collection[str], source: Source) -> str:
    """What the options that an error of our objects names are called where they were said."""
    called = []
    for word in dict.fromkeys(filter(None, _WORD.findall(trouble))):
        names = [name for name in _CALLED[word] if name in said] or _CALLED[word]
        if _SETTINGS[names[0]].owner is _Owner.INTROSPECTION and "ntrospection" not in trouble:
            continue  # a claim that is called as an option is: client_id
        called.append(f"{word} is {' or '.join(map(source.call, names))}")
    return f" (here {', '.join(called)})" if called else ""


def _value(value: Any, form: Form, name: str, source: Source) -> Any:
    if value is None or (isinstance(value, Collection) and not value) or (isinstance(value, str) and value.isspace()):
        raise ConfigurationError(f"{source.call(name)} is empty: give it a value, or leave it out")
    try:
        return form.take(form.parse(value) if source.written else value)
    except ValueError as error:
        trouble = str(error)
    raise ConfigurationError(f"{source.call(name)} {trouble}")


def no_setting(name: object, names: Collection[str], call: Callable[[Any], str]) -> str:
    """For our own modules: that a setting has none of these names, and which one may have been meant."""
    close = difflib.get_close_matches(str(name).upper(), names, n=1, cutoff=0.5)
    remedy = f"did you mean {call(close[0])}?" if close else f"choose from {', '.join(names)}"
    return f"{call(name)} is no setting: {remedy}"


def _validator(form: Form, option: str) -> _Setting:
    return _Setting(form=form, owner=_Owner.VALIDATOR, option=option)


def _issuer(form: Form, option: str) -> _Setting:
    return _Setting(form=form, owner=_Owner.ISSUER, option=option)


def _introspection(form: Form, option: str) -> _Setting:
    return _Setting(form=form, owner=_Owner.INTROSPECTION, option=option)


_SETTINGS: Final[Mapping[str, _Setting]] = {
    "ISSUER": _issuer(forms.URL, "url"),
    "AUDIENCE": _validator(forms.AUDIENCE, "audience"),
    "REALM": _validator(forms.TEXT, "realm"),
    "ALGORITHMS": _issuer(forms.TEXTS, "algorithms"),
    "PROFILE": _issuer(forms.PROFILE, "profile"),
    "LEEWAY": _issuer(forms.SECONDS, "leeway"),
    "MAX_TOKEN_AGE": _issuer(forms.SECONDS, "max_token_age"),
    "JWKS_URI": _issuer(forms.URL, "jwks_uri"),
    "METADATA_URL": _issuer(forms.URL, "metadata_url"),
    "ALLOW_INSECURE_HTTP": _issuer(forms.SWITCH, "allow_insecure_http"),
    "TOKEN_CACHE": _validator(forms.CACHE, "token_cache"),
    "INTROSPECTION": _introspection(forms.POLICY, "policy"),
    "INTROSPECTION_ENDPOINT": _introspection(forms.URL, "endpoint"),
    "INTROSPECTION_AUTH": _introspection(forms.TEXT, "auth"),
    "INTROSPECTION_LIFETIME": _introspection(forms.SECONDS, "lifetime"),
    "CLIENT_ID": _introspection(forms.TEXT, "client_id"),
    "CLIENT_SECRET": _introspection(forms.SECRET, "client_secret"),
    "CLIENT_SECRET_FILE": _introspection(forms.SECRET_FILE, "client_secret"),
    "PRIVATE_KEY": _introspection(forms.KEY, "private_key"),
    "PRIVATE_KEY_FILE": _introspection(forms.KEY_FILE, "private_key"),
    "KEY_ID": _introspection(forms.TEXT, "key_id"),
    "BEARER": _introspection(forms.SECRET, "bearer"),
    "BEARER_FILE": _introspection(forms.SECRET_FILE, "bearer"),
}

# By options, as they stand in the errors of our objects.
_CALLED: Final = {
    "algorithm": ["ALGORITHMS"],
    **{
        setting.option: [name for name, other in _SETTINGS.items() if other.option == setting.option]
        for setting in _SETTINGS.values()
    },
}
# Not in a quoted value, which may be anything; nor as in "the endpoint asks who asks", where it is no name.
_WORD: Final = re.compile(rf"""'[^']*'|"[^"]*"|(?<!the )\b({"|".join(_CALLED)})\b""")

NAMES: Final = tuple(_SETTINGS)
"""All names of settings."""

_MISSING: Final = {
    "ISSUER": "name the authorization server by its URL, exactly as in the iss claim",
    "AUDIENCE": "name this API as it stands in the aud claim",
}
