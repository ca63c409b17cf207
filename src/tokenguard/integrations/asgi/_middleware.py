"""The middleware."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cached_property

from ...errors import ConfigurationError, RequestRefused
from ...token import AccessToken
from .._answers import answer
from .._authorization import credentials
from .._guard import Guard
from .._verdict import TOKEN_KEY, VERDICT_KEY, Verdict, bind, name_and_log
from ._expiry import POLICY_VIOLATION, until_expiry
from ._order import Order, guarded
from ._types import ASGIApp, Message, Receive, Scope, Send

# With these an application begins to answer. Before them it may give hints, or push (HTTP/2), and refuse all the same.
_BEGINS = {"http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start"}


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
        if self._order.times != guarded.times:
            self._order.require(scope)
        # On a copy: what an outer layer holds is not ours to change, and whatever it put under our keys is gone.
        scope = {**scope, TOKEN_KEY: token, VERDICT_KEY: Verdict(token, self.validator)}
        self.announce(scope, token)
        begun = False

        def send_and_note(message: Message) -> Awaitable[None]:
            nonlocal begun
            begun = begun or message["type"] in _BEGINS
            return send(message)

        channels: tuple[Receive, Send] = receive, send_and_note
        if token is not None and kind == "websocket":
            channels = until_expiry(*channels, lambda: self.validator.seconds_left(token))
        try:
            await self.app(scope, *channels)
        except Exception as error:
            refused_by_app = _refusal(error)
            if begun or refused_by_app is None:
                raise
            # Raised before the application began to answer: then it is the answer.
            await _refuse(name_and_log(refused_by_app, scope[VERDICT_KEY]), scope, send)

    def announce(self, scope: Scope, token: AccessToken | None) -> None:
        """For middleware of a framework: tell the scope in the framework's own words too."""

    @cached_property
    def _order(self) -> Order:
        return Order(self.app)

    def _credentials(self, scope: Scope) -> bytes | None:
        """The token's text; None where a request may come without."""
        public = self._public
        if public is not None and public.include(scope["path"], scope.get("root_path", ""), scope.get("raw_path")):
            return None
        values = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        return credentials(values, self.validator, required=self._required)


def _refusal(error: Exception) -> RequestRefused | None:
    """What an application refused with, if that is all that it raised: out of a task group it comes wrapped."""
    while isinstance(error, ExceptionGroup) and error.split(RequestRefused)[1] is None:
        error = error.exceptions[0]
    return error if isinstance(error, RequestRefused) else None


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
