"""Numbers that an operator says, or an issuer: of exactly their type. A bool is none, and a text is none."""

from __future__ import annotations

from typing import Any

from .errors import ConfigurationError


def is_number(said: object) -> bool:
    """Whether it is a whole or a fractional number, be it infinite or none (NaN is of that type too)."""
    return type(said) in (int, float)


def check_seconds(name: str, said: Any, *, most: int, zero: bool = False, remedy: str = "") -> None:
    """See to it that a setting is a time.

    Args:
        name: of the setting.
        said: its value; what is annotated need not hold.
        most: seconds at most.
        zero: whether it may be 0.
        remedy: how else to get what may have been meant.

    Raises:
        ConfigurationError: it is none.
    """
    if not is_number(said) or not 0 <= said <= most or (said == 0 and not zero):  # so put, NaN is refused too
        bounds = f"from 0 to {most}" if zero else f"above 0, at most {most}"
        raise ConfigurationError(f"{name} is {said!r}: it is a number of seconds {bounds}{remedy}")


def check_count(name: str, said: Any, *, remedy: str = "") -> None:
    """See to it that a setting is a whole number above 0: how many there are of something, at most.

    Raises:
        ConfigurationError: it is none.
    """
    if type(said) is not int or said <= 0:
        raise ConfigurationError(f"{name} is {said!r}: it is a whole number above 0{remedy}")
