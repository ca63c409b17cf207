"""The middleware for any ASGI application. It needs no framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from .. import _async
from ..errors import ConfigurationError, RequestRefused
from ..token import AccessToken
from ._common import TOKEN_KEY, VERDICT_KEY, Verdict, answer, bind, credentials, name_and_log
from ._guard import Guard

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008  # RFC 6455 s7.4.1
EXPIRED = "the access token expired"


class TokenGuardMiddleware(Guard[ASGIApp, Scope]):
    """Lets a request through only with a valid access token in its `Authorization` header.

    The application finds the validated token in the scope, under `"tokenguard.token"`. `http` and `websocket` scopes
    are guarded, `lifespan` passes, any other scope is refused. A websocket is closed when its token expires.

    Not checked: scopes; ask for those on the route.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise ConfigurationError(
                f"TokenGuardMiddleware knows no ASGI scope of type {kind!r}, and lets none through"
            )
        try:
            text = self._credentials(scope)
            token = None if text is None else await self.validator.validate_async(text)
            if self._issuer_of is not None and token is not None:
                bind(token, self._issuer_of(scope), self.validator)
        except RequestRefused as refused:
            await _refuse(refused, scope, send)
            return
        # On a copy: what an outer layer holds is not ours to change, and whatever it put under our keys is gone.
        scope = {**scope, TOKEN_KEY: token, VERDICT_KEY: Verdict(token, self.validator)}
        self.announce(scope, token)
        if token is not None and kind == "websocket":
            receive, send = _until_expiry(receive, send, lambda: self.validator.seconds_left(token))
        begun = False

        def send_and_note(message: Message) -> Awaitable[None]:
            nonlocal begun
            begun = True
            return send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except RequestRefused as refused:
            if begun:
                raise
            # Raised before the application began to answer: then it is the answer.
            await _refuse(name_and_log(refused, scope[VERDICT_KEY]), scope, send)

    def announce(self, scope: Scope, token: AccessToken | None) -> None:
        """For middleware of a framework: tell the scope in the framework's own words too."""

    def _credentials(self, scope: Scope) -> bytes | None:
        """The token's text; None where a request may come without."""
        public = self._public
        if public is not None and public.include(scope["path"], scope.get("root_path", ""), scope.get("raw_path")):
            return None
        values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        return credentials(values, self.validator, required=self._required)


async def _refuse(refused: RequestRefused, scope: Scope, send: Send) -> None:
    response = answer(refused, scope.get("method"))
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in response.headers.items()]
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        await send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": response.body})
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refused.error or ""})


def _until_expiry(receive: Receive, send: Send, seconds_left: Callable[[], float]) -> tuple[Receive, Send]:
    """The channels of a websocket, through which nothing passes in either direction once its token expired."""
    closed = False

    async def close() -> None:
        nonlocal closed
        if not closed:
            closed = True
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": EXPIRED})

    async def receive_while_valid() -> Message:
        left = seconds_left()
        with suppress(_async.TooLate):
            if left > 0:
                message: Message = await _async.before(left, receive)
                return message
        await close()
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": EXPIRED}

    async def send_while_valid(message: Message) -> None:
        nonlocal closed
        if seconds_left() <= 0:
            await close()
            raise OSError(EXPIRED)  # as ASGI 2.4 has it for a connection that is gone
        closed = closed or message["type"] == "websocket.close"
        await send(message)

    return receive_while_valid, send_while_valid
