"""A form, read by the rules of OAuth endpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from ._answers import Refusal, Request

_FORM = "application/x-www-form-urlencoded"


class Form:
    """The parameters of a request that have a value: empty ones count as left out (RFC 6749 s3.2).

    Args:
        request: as it came.
        repeatable: which parameters may come more than once.

    Raises:
        Refusal: `invalid_request`; not a form, or another parameter is repeated (RFC 6749 s3.2).
    """

    def __init__(self, request: Request, *, repeatable: Collection[str] = ()) -> None:
        if request.headers.get_content_type() != _FORM:
            raise Refusal("invalid_request", f"the content type is not {_FORM}")
        try:
            pairs = request.form()
        except ValueError:  # without its text, in which is what was sent
            raise Refusal("invalid_request", "the form is not UTF-8") from None
        self._values: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._values[name].append(value)
        if any(len(values) > 1 for name, values in self._values.items() if name not in repeatable):
            raise Refusal("invalid_request", "a parameter is repeated")

    def all(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        return [value for value in self._values.get(name, ()) if value]

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return next(iter(self.all(name)), None)

    def require(self, name: str) -> str:
        """The value.

        Raises:
            Refusal: `invalid_request`; there is none.
        """
        value = self.get(name)
        if value is None:
            raise Refusal("invalid_request", f"the parameter {name} is missing")
        return value
