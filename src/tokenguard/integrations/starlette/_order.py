"""Decorators above `@app.get`, where they do nothing: what is in the routes by then is the bare function.

What was guarded is remembered, and looked for in the routes at the next request: such a route would be open.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final
from weakref import WeakValueDictionary

from ...errors import ConfigurationError


class _Guarded:
    """What our decorators wrapped; `times`, how often, tells in one look whether something is new.

    By identity: `functools.wraps` of another decorator would copy a mark, and an endpoint need not have a hash.
    """

    def __init__(self) -> None:
        self.times = 0
        self._bare: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, endpoint: Any) -> None:
        """Remember an endpoint, and all that it is a wrapper of: any of these may be what `@app.get` saw."""
        while isinstance(endpoint, FunctionType | type):
            self._bare[id(endpoint)] = endpoint
            endpoint = getattr(endpoint, "__wrapped__", None)
        self.times += 1

    def __contains__(self, endpoint: object) -> bool:
        return endpoint is not None and self._bare.get(id(endpoint)) is endpoint


guarded: Final = _Guarded()


def require_order(*apps: object) -> None:
    """See to it that no route of these apps leads to what a decorator wrapped, past the decorator.

    Raises:
        ConfigurationError: one does.
    """
    for endpoint in _endpoints(apps):
        if endpoint in guarded:
            raise ConfigurationError(
                f"{endpoint.__module__}.{endpoint.__qualname__} is a route, and open: its decorator stands above "
                "@app.get. Write it below, or Security(guard, scopes=[...]). Meant to be open here, and guarded "
                "elsewhere? Then make it two functions"
            )


def _endpoints(apps: tuple[object, ...]) -> Iterator[Any]:
    """Of all routes: of an app, whatever middleware stands around it, of what is mounted in it, of routers included."""
    left, seen = list(apps), set[int]()
    while left:
        at = left.pop()
        if id(at) in seen:
            continue
        seen.add(id(at))
        parts = getattr(at, "__dict__", {})  # what an object only pretends to have, such as a mock, has no end
        yield parts.get("endpoint")
        routes = parts.get("routes")
        left += routes if isinstance(routes, list) else ()
        left += (parts.get("app"), parts.get("router"), parts.get("original_router"))  # the last: FastAPI, includes
