"""The end of a websocket whose token expires."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ... import _async
from ._types import Message, Receive, Send

POLICY_VIOLATION = 1008  # RFC 6455 s7.4.1
EXPIRED = "the access token expired"

_ENDS = {"websocket.close", "websocket.http.response.start"}  # behind these no close may be sent


def until_expiry(receive: Receive, send: Send, seconds_left: Callable[[], float]) -> tuple[Receive, Send]:
    """The channels of a websocket, through which nothing passes in either direction once its token expired."""
    closed = expired = False

    async def expire() -> None:
        nonlocal closed, expired
        expired = True  # for good, whatever the clock says next
        if not closed:
            closed = True
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": EXPIRED})

    async def receive_while_valid() -> Message:
        left = 0.0 if expired else seconds_left()
        with suppress(_async.TooLate):
            if left > 0:
                message: Message = await _async.before(left, receive)
                return message
        await expire()
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": EXPIRED}

    async def send_while_valid(message: Message) -> None:
        nonlocal closed
        if expired or seconds_left() <= 0:
            await expire()
            raise OSError(EXPIRED)  # as ASGI 2.4 has it for a connection that is gone
        closed = closed or message["type"] in _ENDS
        await send(message)

    return receive_while_valid, send_while_valid
