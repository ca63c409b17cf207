"""What the operator gets to see: log lines of the `tokenguard` logger, and events for monitoring."""

from __future__ import annotations

import logging
from collections.abc import Callable

from . import events
from .errors import Reason, RequestRefused
from .events import Event
from .token import AccessToken

_log = logging.getLogger("tokenguard")
_PAUSE = 1.0  # seconds between two warnings for one reason: a flood of bad tokens is no flood of log lines


class Reporter:
    """Logs, and calls `on_event`. Whatever that raises is logged, and changes nothing else.

    Of refusals it logs one warning per reason and second; the rest, and what came without any token, at DEBUG.
    """

    def __init__(self, on_event: Callable[[Event], None] | None, monotonic: Callable[[], float]) -> None:
        self._on_event = on_event
        self._monotonic = monotonic
        self._quiet_until: dict[str, float] = {}

    def refused(self, refused: RequestRefused) -> None:
        self._log(refused.reason, "refused with %d: %s", refused.status, refused)
        self._send(events.RequestRefused(reason=refused.reason, issuer=refused.issuer, client_id=refused.client_id))

    def accepted(self, token: AccessToken) -> None:
        self._send(events.RequestAccepted(issuer=token.issuer, client_id=token.client_id))

    def happened(self, event: Event) -> None:
        match event:
            case events.KeysRefreshed(issuer=issuer, added=added, removed=removed):
                if added or removed:
                    _log.info("keys of %s: added %s, removed %s", issuer, added, removed)
            case events.KeySkipped(issuer=issuer, kid=kid, why=why):
                _log.warning("a key of %s is of no use: kid %s: %s", issuer, kid, why)
            case events.RefreshFailed(issuer=issuer, trouble=trouble, failures=failures, retry_in=retry_in):
                _log.warning(
                    "keys of %s: fetch %d in a row failed: %s; next in %.0f s", issuer, failures, trouble, retry_in
                )
            case events.ServingStale(issuer=issuer, age=age, ends_in=ends_in):
                _log.warning("keys of %s are %.0f s old and stale; 503 in %.0f s", issuer, age, ends_in)
            case _:
                pass  # the refusal is logged where it is answered
        self._send(event)

    def _log(self, reason: Reason, text: str, *arguments: object) -> None:
        tick = self._monotonic()
        if reason is Reason.NO_TOKEN or tick < self._quiet_until.get(reason, tick):
            _log.debug(text, *arguments)
            return
        self._quiet_until[reason] = tick + _PAUSE
        _log.warning(text, *arguments)

    def _send(self, event: Event) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - whatever it is, it must change no verdict
            _log.exception("on_event raised for %s", type(event).__name__)
