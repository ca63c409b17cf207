"""The ways to fail, which of them are switched on, and those that are only another answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, TypeAlias, get_args

from ._answers import Answer, Response

Kind: TypeAlias = Literal["jwks", "metadata"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ELSEWHERE = "/elsewhere"


class Fault(StrEnum):
    """A way to fail, for `LocalIssuer.fail`.

    >>> Fault("hang") is Fault.HANG
    True
    """

    SERVER_ERROR = "server_error"
    """Status 500."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """Status 429 with `Retry-After: 7`."""
    HANG = "hang"
    """No answer until `recover()`; then the right one."""
    DRIP_HEADERS = "drip_headers"
    """One byte every 50 ms of headers that never end; `recover()` cuts it off."""
    DRIP_BODY = "drip_body"
    """The right body, one byte every 50 ms; `recover()` cuts it off."""
    RESET = "reset"
    """The TCP connection is reset in place of an answer."""
    HTML = "html"
    """Status 200 with an HTML page, as captive portals and login walls send."""
    TRUNCATED = "truncated"
    """The right body, a `Content-Length` that promises more, and the end of the connection."""
    EMPTY = "empty"
    """`{"keys": []}` for the key set, `{}` for anything else."""
    HUGE = "huge"
    """The right JSON around 200 MB of spaces, without a `Content-Length`."""
    UNUSABLE = "unusable"
    """A key set of which no key can be used, under the right `kid`s. The metadata stays right."""
    REDIRECT = "redirect"
    """Status 302 to `/elsewhere` before the same path, where the right answer waits for whoever follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One fault from `fail` to `recover`: whoever waits for its end waits on `over`."""

    fault: Fault
    over: threading.Event = field(default_factory=threading.Event)


class FaultSwitch:
    """Which fault is on for which kind of endpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._episodes: dict[Kind, Episode] = {}

    def fail(self, fault: Fault, on: Kind | Literal["all"]) -> None:
        """Switch `fault` on, in place of what was on there."""
        if on != "all" and on not in KINDS:
            raise ValueError(f"on is 'all' or one of {KINDS}, not {on!r}")
        self._put(dict.fromkeys(KINDS if on == "all" else (on,), Fault(fault)))

    def recover(self) -> None:
        """Switch everything off."""
        self._put(dict.fromkeys(KINDS, None))

    def interrupt(self) -> None:
        """End all waits, and leave the switches as they are."""
        with self._lock:
            faults = {kind: episode.fault for kind, episode in self._episodes.items()}
        self._put(faults)

    def episode(self, kind: Kind) -> Episode | None:
        """What is on now."""
        with self._lock:
            return self._episodes.get(kind)

    def _put(self, faults: Mapping[Kind, Fault | None]) -> None:
        with self._lock:
            for kind, fault in faults.items():
                if ended := self._episodes.pop(kind, None):
                    ended.over.set()
                if fault is not None:
                    self._episodes[kind] = Episode(fault=fault)


def spoil(fault: Fault, kind: Kind, answer: Answer) -> Answer:
    """The faults that are another document."""
    if fault is Fault.EMPTY:
        return replace(answer, document={"keys": []} if kind == "jwks" else {})
    if fault is Fault.UNUSABLE and kind == "jwks":
        return replace(answer, document={"keys": [_unusable(jwk) for jwk in answer.document["keys"]]})
    return answer


def _unusable(jwk: Mapping[str, Any]) -> dict[str, Any]:
    return {"kty": "unusable", **{name: jwk[name] for name in ("kid", "alg", "use") if name in jwk}}


def divert(fault: Fault, path: str, response: Response) -> Response:
    """The faults that are another response."""
    match fault:
        case Fault.SERVER_ERROR:
            return _json_error(500, {})
        case Fault.TOO_MANY_REQUESTS:
            return _json_error(429, {"Retry-After": "7"})
        case Fault.REDIRECT:
            return _json_error(302, {"Location": ELSEWHERE + path})
        case Fault.HTML:
            page = b"<!doctype html><title>Sign in</title><p>Please sign in to the network.</p>"
            return Response(status=200, headers={"Content-Type": "text/html; charset=utf-8"}, body=page)
        case _:
            return response


def _json_error(status: int, headers: Mapping[str, str]) -> Response:
    return Response(status=status, headers={"Content-Type": "application/json", **headers}, body=b'{"error": "fault"}')
