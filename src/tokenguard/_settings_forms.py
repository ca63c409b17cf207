"""How the values of settings are written: as Python's own, and as texts in the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import profiles
from ._numbers import is_number
from ._text import for_log
from .config import ANY_AUDIENCE, TokenCache
from .profiles import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a value is written. Both functions raise ValueError, with the end of a sentence that begins with the name."""

    take: Callable[[Any], Any]
    """From a Python value to the argument."""

    parse: Callable[[str], Any] = str
    """From a text in the environment to what `take` takes."""


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
            f"is {for_log(' '.join(texts))}: name this API as it stands in the aud claim; to accept tokens that were "
            f"issued for other APIs, write {_ANY} and nothing beside it"
        )
    return texts


def _seconds(value: Any) -> float:
    if not is_number(value):
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
    if name not in PROFILES:
        raise ValueError(f"is {_shown(name)}: choose from {', '.join(PROFILES)}")
    return PROFILES[name]


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
PROFILES: Final = {profile.name: profile for profile in vars(profiles).values() if isinstance(profile, Profile)}

TEXT: Final = Form(take=_text)
TEXTS: Final = Form(take=_texts, parse=_split)
URL: Final = Form(take=_url)
AUDIENCE: Final = Form(take=_audience, parse=_split)
SECONDS: Final = Form(take=_seconds, parse=_parse_seconds)
SWITCH: Final = Form(take=_switch, parse=_parse_switch)
CACHE: Final = Form(take=_cache, parse=_parse_switch)
PROFILE: Final = Form(take=_profile)
POLICY: Final = Form(take=_policy)
SECRET: Final = Form(take=_secret)
SECRET_FILE: Final = Form(take=_secret_file)
KEY: Final = Form(take=_key)
KEY_FILE: Final = Form(take=_key_file)
