"""The ways to fail, which of them are switched on, and those that are only another answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, TypeAlias, get_args

from ._answers import Answer, Request, Response, to_json

Kind: TypeAlias = Literal["jwks", "metadata", "token", "introspection", "revocation"]
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
    """A key set of which no key can be used, under the right `kid`s. All else stays right."""
    REDIRECT = "redirect"
    """Status 302 (307 for POST) to `/elsewhere` before the same path, where the right answer waits for who follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of your own, for `LocalIssuer.fail`: a fault in so many words.

    Args:
        body: bytes as they are; anything else as JSON.
        status: the HTTP status.
        content_type: None for no such header.
        headers: the others; lengths are seen to.

    Raises:
        ValueError: headers that are not for you to say.
        TypeError: a body that is not JSON.

    >>> from tokenguard.testing import LocalIssuer, Reply
    >>> with LocalIssuer() as issuer:
    ...     issuer.fail(Reply(body={"active": "true"}), on="introspection")
    ...     issuer.fail(Reply(body=b"slower", status=429, headers={"Retry-After": "7"}), on="token")
    """

    body: Any = field(repr=False)
    status: int = 200
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if {name.lower() for name in self.headers} & {"content-type", "content-length", "transfer-encoding"}:
            raise ValueError("the type goes into content_type, and lengths are seen to")
        self.response()

    def response(self) -> Response:
        """The same, ready to go out."""
        headers = {} if self.content_type is None else {"Content-Type": self.content_type}
        body = self.body if isinstance(self.body, bytes) else to_json(self.body)
        return Response(status=self.status, headers={**headers, **self.headers}, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One fault from `fail` to `recover`: whoever waits for its end waits on `over`."""

    fault: Fault | Reply
    over: threading.Event = field(default_factory=threading.Event)


class FaultSwitch:
    """Which fault is on for which kind of endpoint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._episodes: dict[Kind, Episode] = {}

    def fail(self, fault: Fault | Reply, on: Kind | Literal["all"]) -> None:
        """Switch `fault` on, in place of what was on there."""
        if on != "all" and on not in KINDS:
            raise ValueError(f"on is 'all' or one of {KINDS}, not {on!r}")
        fault = fault if isinstance(fault, Reply) else Fault(fault)
        self._put(dict.fromkeys(KINDS if on == "all" else (on,), fault))

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

    def _put(self, faults: Mapping[Kind, Fault | Reply | None]) -> None:
        with self._lock:
            for kind, fault in faults.items():
                if ended := self._episodes.pop(kind, None):
                    ended.over.set()
                if fault is not None:
                    self._episodes[kind] = Episode(fault=fault)


def spoil(fault: Fault | Reply, kind: Kind, answer: Answer) -> Answer:
    """The faults that are another document."""
    if fault is Fault.EMPTY:
        return replace(answer, document={"keys": []} if kind == "jwks" else {})
    if fault is Fault.UNUSABLE and kind == "jwks":
        return replace(answer, document={"keys": [_unusable(jwk) for jwk in answer.document["keys"]]})
    return answer


def _unusable(jwk: Mapping[str, Any]) -> dict[str, Any]:
    return {"kty": "unusable", **{name: jwk[name] for name in ("kid", "alg", "use") if name in jwk}}


def divert(fault: Fault | Reply, request: Request) -> Response | None:
    """The faults that come before the endpoint does anything, such as to use up an assertion: what is said instead."""
    if isinstance(fault, Reply):
        return fault.response()
    if fault is Fault.REDIRECT:
        # After a 307 the body goes along (RFC 9110 s15.4.8), and with it the secrets of whoever follows.
        return _json_error(307 if request.method == "POST" else 302, {"Location": ELSEWHERE + request.path})
    return _INSTEAD.get(fault)


def _json_error(status: int, headers: Mapping[str, str]) -> Response:
    return Response(status=status, headers={"Content-Type": "application/json", **headers}, body=b'{"error": "fault"}')


_INSTEAD = {
    Fault.SERVER_ERROR: _json_error(500, {}),
    Fault.TOO_MANY_REQUESTS: _json_error(429, {"Retry-After": "7"}),
    Fault.HTML: Response(
        status=200,
        headers={"Content-Type": "text/html; charset=utf-8"},
        body=b"<!doctype html><title>Sign in</title><p>Please sign in to the network.</p>",
    ),
    # Nobody will see these.
    **dict.fromkeys((Fault.HANG, Fault.RESET, Fault.DRIP_HEADERS), Response(status=200, headers={}, body=b"")),
}
