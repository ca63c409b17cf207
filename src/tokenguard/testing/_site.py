"""What is served: the routes, the faults in front of them, and who asked for what."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ._answers import Answer, Endpoint, Refusal, Request, Response, render
from ._faults import ELSEWHERE, Episode, FaultSwitch, Kind, divert, spoil

_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_ITS_HEADERS = {"Access-Control-Allow-Headers": "Authorization, X-Requested-With"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint, and the name by which `fail(on=...)` knows it.

    `cross_origin`: pages of other origins may ask, such as an API's documentation with an *Authorize* button.
    """

    kind: Kind
    endpoint: Endpoint
    method: str = "GET"
    cross_origin: bool = False

    def answer(self, request: Request) -> Answer:
        """What the endpoint says, or the error that it raises."""
        if not self.cross_origin:
            return self._answer(request)
        if request.method == "OPTIONS":
            allowed = {"Access-Control-Allow-Methods": self.method, **_ITS_HEADERS}
            return Answer(headers={**_ANY_ORIGIN, **allowed}, document={})
        answer = self._answer(request)
        return replace(answer, headers={**answer.headers, **_ANY_ORIGIN})

    def _answer(self, request: Request) -> Answer:
        if request.method != self.method:
            return Answer(status=405, headers={"Allow": self.method}, document={"error": "method_not_allowed"})
        try:
            return self.endpoint(request)
        except Refusal as refusal:
            return refusal.answer


class RequestLog:
    """Counts requests by path, and keeps the last of each; others can wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, Request] = {}

    def add(self, request: Request) -> None:
        """Count one."""
        with self._changed:
            self._counts[request.path] += 1
            self._last[request.path] = request
            self._changed.notify_all()

    def counts(self) -> Counter[str]:
        """A copy."""
        with self._changed:
            return Counter(self._counts)

    def last(self, path: str) -> Request:
        """The last for `path`."""
        with self._changed:
            if path not in self._last:
                raise LookupError(f"no request for {path}")
            return self._last[path]

    def reset(self) -> None:
        """Count from zero, and forget."""
        with self._changed:
            self._counts.clear()
            self._last.clear()

    def wait(self, path: str, count: int, timeout: float) -> None:
        """Return once `path` was asked for `count` times."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._counts[path] >= count, timeout):
                raise TimeoutError(f"{self._counts[path]} requests for {path} in {timeout} s, not {count}")


class RoutedSite:
    """Answers by `routes`, which is asked anew for every request, as tests change their minds."""

    def __init__(self, routes: Callable[[], Mapping[str, Route]]) -> None:
        self.log = RequestLog()
        self.faults = FaultSwitch()
        self._routes = routes

    def arrived(self, request: Request) -> None:
        """Count it."""
        self.log.add(request)

    def interrupt(self) -> None:
        """End all waits of faults."""
        self.faults.interrupt()

    def respond(self, request: Request) -> tuple[Response, Episode | None]:
        """The response, and the fault to deliver it with. Only known paths fail; below `/elsewhere` none does."""
        routes = self._routes()
        route = routes.get(request.path)
        if route is not None:
            return self._respond(route, request, self.faults.episode(route.kind))
        if request.path.startswith(ELSEWHERE):
            route = routes.get(request.path.removeprefix(ELSEWHERE))
        if route is not None:
            return self._respond(route, request, None)
        return render(Answer(status=404, document={"error": "not_found"}), request), None

    def _respond(self, route: Route, request: Request, episode: Episode | None) -> tuple[Response, Episode | None]:
        if episode is None:
            return render(route.answer(request), request), None
        if (diverted := divert(episode.fault, request)) is not None:
            return diverted, episode
        # Without its ETag: a fault shows even to a client that has the document already.
        answer = spoil(episode.fault, route.kind, replace(route.answer(request), etag=False))
        return render(answer, request), episode
