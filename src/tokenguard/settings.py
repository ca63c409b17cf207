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
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

from . import profiles
from ._core import Check
from ._opaque import Select
from ._text import for_log
from ._transport import HttpClient
from .config import ANY_AUDIENCE, Issuer, TokenCache
from .errors import ConfigurationError
from .events import Event
from .introspection import Introspection
from .profiles import Profile
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
    return _build(said, also, _Source(where=where, call=lambda name: f"{where}[{name!r}]", written=False), options)


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
    return _build(ours, also, _Source(where=f"{prefix}*", call=lambda name: f"{prefix}{name}", written=True), options)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where settings come from: how they are called there, and whether all values are texts."""

    where: str
    call: Callable[[object], str]
    written: bool


class _Owner(Enum):
    """Whose argument a setting becomes."""

    VALIDATOR = auto()
    ISSUER = auto()
    INTROSPECTION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How a value is written. Both functions raise ValueError, with the end of a sentence that begins with the name."""

    take: Callable[[Any], Any]
    """From a Python value to the argument."""

    parse: Callable[[str], Any] = str
    """From a text in the environment to what `take` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    form: _Form
    owner: _Owner
    option: str


def _build(
    settings: Mapping[str, Any], also: Collection[str], source: _Source, options: ValidatorOptions
) -> TokenValidator:
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
    raise ConfigurationError(f"{source.where}: {trouble}")


def _value(value: Any, form: _Form, name: str, source: _Source) -> Any:
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


# Forms


def _shown(value: object) -> str:
    """A value that is no secret, in as far as it is surely none."""
    return for_log(value) if isinstance(value, (str, int, float)) else f"of type {type(value).__name__}"


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"is {_shown(value)}: write a text")
    if value != value.strip():
        raise ValueError(f"is {_shown(value)}: there is white space around it")
    return value


def _url(value: Any) -> str:
    text = _text(value)
    if _USER.match(text):  # all else is for its object to say, which shows the value
        raise ValueError("has a user name or a password in it: nothing here sends one")
    return text


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_text(value),)
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError(f"is {_shown(value)}: write a text, or a list of them")
    if "" in value:
        raise ValueError("has an empty text in it: leave that out")
    texts = tuple(map(_text, value))
    return tuple(sorted(texts)) if isinstance(value, (set, frozenset)) else texts


def _split(text: str) -> tuple[str, ...]:
    if "," in text:  # of which an audience may have some, and one that stands for two would refuse every token
        raise ValueError(f"is {_shown(text)}: separate with spaces, not with commas")
    return tuple(text.split())


def _audience(value: Any) -> Any:
    if value is ANY_AUDIENCE:
        return value
    texts = _texts(value)
    if texts == (_ANY,):
        return ANY_AUDIENCE
    if not {"*", "ANY_AUDIENCE", _ANY}.isdisjoint(texts):
        raise ValueError(
            f"is {_shown(value)}: name this API as it stands in the aud claim; to accept tokens that were issued for "
            f"other APIs, write {_ANY} and nothing beside it"
        )
    return texts


def _seconds(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"is {_shown(value)}: write a number of seconds")
    return value  # type: ignore[no-any-return]  # one of the two


def _parse_seconds(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"is {_shown(text)}: write a number of seconds, such as 30 or 0.5")
    return float(text)


def _switch(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"is {_shown(value)}: write True or False")
    return value


def _parse_switch(text: str) -> bool:
    if text not in _SWITCH:
        raise ValueError(f"is {_shown(text)}: write true, on or 1, or false, off or 0")
    return _SWITCH[text]


def _cache(value: Any) -> TokenCache | None:
    return TokenCache() if _switch(value) else None


def _profile(value: Any) -> Profile:
    if isinstance(value, Profile):
        return value
    name = _text(value)
    if name not in _PROFILES:
        raise ValueError(f"is {_shown(name)}: choose from {', '.join(_PROFILES)}")
    return _PROFILES[name]


def _policy(value: Any) -> str:
    if _text(value) not in ("opaque", "always", "only"):
        raise ValueError(f"is {_shown(value)}: write opaque, always or only")
    return str(value)


def _key(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"is of type {type(value).__name__}: write a text")
    return value


def _secret(value: Any) -> str:
    if _CONTROL.search(_key(value)):  # RFC 6749 A.2: a client secret has none
        raise ValueError("has a line end or another control character in it")
    return str(value)


def _key_file(value: Any) -> str:
    """The content of a file, without the line end that editors and `echo` add."""
    if not isinstance(value, (str, Path)):
        raise ValueError(f"is {_shown(value)}: write the path of a file")
    try:
        with Path(value).open("rb") as file:
            content = file.read(_MAX_FILE + 1)
        text = _LINE_END.sub("", content.decode("utf-8"))
        if text and len(content) <= _MAX_FILE:
            return text
        trouble = f"has more than {_MAX_FILE} bytes" if text else "is empty"
    except UnicodeDecodeError:
        trouble = "is not in UTF-8"  # and nothing of what is in it
    except (OSError, ValueError) as error:
        trouble = f"cannot be read: {getattr(error, 'strerror', 'the path has a NUL in it')}"
    raise ValueError(f"is {for_log(str(value))}: that file {trouble}")


def _secret_file(value: Any) -> str:
    return _secret(_key_file(value))


_ANY: Final = "ANY_AUDIENCE_EVEN_OF_OTHER_APIS"
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_USER: Final = re.compile(r"[^/?#]*//[^/?#]*@")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LINE_END: Final = re.compile(r"\r?\n\Z")
_MAX_FILE: Final = 64 * 1024  # bytes; a key in PEM has 3 KiB, and /dev/zero has no end
_SWITCH: Final = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
_PROFILES: Final = {profile.name: profile for profile in vars(profiles).values() if isinstance(profile, Profile)}

_TEXT = _Form(take=_text)
_URL = _Form(take=_url)
_SECONDS = _Form(take=_seconds, parse=_parse_seconds)
_SECRET = _Form(take=_secret)
_SECRET_FILE = _Form(take=_secret_file)


def _validator(form: _Form, option: str) -> _Setting:
    return _Setting(form=form, owner=_Owner.VALIDATOR, option=option)


def _issuer(form: _Form, option: str) -> _Setting:
    return _Setting(form=form, owner=_Owner.ISSUER, option=option)


def _introspection(form: _Form, option: str) -> _Setting:
    return _Setting(form=form, owner=_Owner.INTROSPECTION, option=option)


_SETTINGS: Final[Mapping[str, _Setting]] = {
    "ISSUER": _issuer(_URL, "url"),
    "AUDIENCE": _validator(_Form(take=_audience, parse=_split), "audience"),
    "REALM": _validator(_TEXT, "realm"),
    "ALGORITHMS": _issuer(_Form(take=_texts, parse=_split), "algorithms"),
    "PROFILE": _issuer(_Form(take=_profile), "profile"),
    "LEEWAY": _issuer(_SECONDS, "leeway"),
    "MAX_TOKEN_AGE": _issuer(_SECONDS, "max_token_age"),
    "JWKS_URI": _issuer(_URL, "jwks_uri"),
    "METADATA_URL": _issuer(_URL, "metadata_url"),
    "ALLOW_INSECURE_HTTP": _issuer(_Form(take=_switch, parse=_parse_switch), "allow_insecure_http"),
    "TOKEN_CACHE": _validator(_Form(take=_cache, parse=_parse_switch), "token_cache"),
    "INTROSPECTION": _introspection(_Form(take=_policy), "policy"),
    "INTROSPECTION_ENDPOINT": _introspection(_URL, "endpoint"),
    "INTROSPECTION_AUTH": _introspection(_TEXT, "auth"),
    "INTROSPECTION_LIFETIME": _introspection(_SECONDS, "lifetime"),
    "CLIENT_ID": _introspection(_TEXT, "client_id"),
    "CLIENT_SECRET": _introspection(_SECRET, "client_secret"),
    "CLIENT_SECRET_FILE": _introspection(_SECRET_FILE, "client_secret"),
    "PRIVATE_KEY": _introspection(_Form(take=_key), "private_key"),
    "PRIVATE_KEY_FILE": _introspection(_Form(take=_key_file), "private_key"),
    "KEY_ID": _introspection(_TEXT, "key_id"),
    "BEARER": _introspection(_SECRET, "bearer"),
    "BEARER_FILE": _introspection(_SECRET_FILE, "bearer"),
}

NAMES: Final = tuple(_SETTINGS)
"""All names of settings."""

_MISSING: Final = {
    "ISSUER": "name the authorization server by its URL, exactly as in the iss claim",
    "AUDIENCE": "name this API as it stands in the aud claim",
}
