"""Decorators above `@app.get`, where they do nothing: what is in the routes by then is the bare function.

What was guarded is remembered, and looked for in the routes at the next request: such a route would be open. No
framework is asked for that: routes are objects with an `endpoint`, apps are what has routes, or another app inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final
from weakref import WeakValueDictionary

from ...errors import ConfigurationError
from ._types import Scope


class _Guarded:
    """What our decorators wrapped, in this process; `times` tells in one look whether something is new.

    By identity: `functools.wraps` of another decorator would copy a mark, and an endpoint need not have a hash.
    """

    def __init__(self) -> None:
        self.times = 0
        self._bare: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, endpoint: Any) -> None:
        """Remember an endpoint, and all that it is a wrapper of: any of these may be what `@app.get` saw."""
        known = True
        while isinstance(endpoint, FunctionType | type):
            known = known and endpoint in self
            self._bare[id(endpoint)] = endpoint
            endpoint = vars(endpoint).get("__wrapped__")  # its own: a class would have that of its base too
        self.times += not known

    def __contains__(self, endpoint: object) -> bool:
        return endpoint is not None and self._bare.get(id(endpoint)) is endpoint


guarded: Final = _Guarded()


class Order:
    """Whether no route of an app leads past a decorator. Looked at when something was guarded since the last time.

    Attributes:
        times: until when (`guarded.times`) that is known to be so.
    """

    def __init__(self, app: object) -> None:
        self.times = 0
        self._app = app
        self._fault = (0, "")  # and until when that is known

    def require(self, scope: Scope) -> None:
        """See to it that the routes of this app, and of the one that the scope names, are as they should be.

        Raises:
            ConfigurationError: one is not.
        """
        times = guarded.times
        if self._fault[0] != times:
            self._fault = (times, _fault(scope.get("app"), self._app))
        if self._fault[1]:
            raise ConfigurationError(self._fault[1])
        self.times = times


def _fault(*apps: object) -> str:
    for endpoint in _endpoints(apps):
        if endpoint in guarded:
            return (
                f"{endpoint.__module__}.{endpoint.__qualname__} is a route without its decorator, which stands above "
                "@app.get. Write it below, or Security(guard, scopes=[...]). Meant to be a route without it too? Then "
                "make it two functions"
            )
    return ""


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
