"""What the operator gets to see: log lines of the `tokenguard` logger, and events for monitoring."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from . import events
from ._text import one_line
from .errors import Reason, RequestRefused, Unavailable
from .events import Event
from .token import AccessToken

_log = logging.getLogger("tokenguard")
_PAUSE = 1.0  # seconds between two warnings of one kind: a flood of bad tokens is no flood of log lines
_MAX_KINDS = 64  # of warnings about issuers that may speak in a second: a tenant's name can be made up
_MAX_FAILING = 1024
_Kind = tuple[str | None, ...]
_OWN_TROUBLE: Final[_Kind] = ("on_event",)


class _OneLine:
    """Made text only where somebody reads it: most refusals are of a flood, and silent.

    It holds no exception: a log record that is kept would keep what its frames hold, the token among it.
    """

    __slots__ = ("_detail", "_reason")

    def __init__(self, reason: Reason, detail: str) -> None:
        self._reason = reason
        self._detail = detail

    def __str__(self) -> str:
        return one_line(f"{self._reason}: {self._detail}" if self._detail else str(self._reason))

    __repr__ = __str__


class Reporter:
    """Logs, and calls `on_event`. Whatever that raises is logged, and changes nothing else.

    One warning per second and kind (of refusals: per reason; of what happens to an issuer: per issuer), the rest at
    DEBUG; there too what came without a token.
    """

    def __init__(self, on_event: Callable[[Event], None] | None, monotonic: Callable[[], float]) -> None:
        self._on_event = on_event
        self._monotonic = monotonic
        self._quiet_until: dict[_Kind, float] = {}
        self._failing = frozenset[str]()  # issuers whose keys were out of reach when last heard of

    def refused(self, refused: RequestRefused) -> None:
        level = self._level(logging.DEBUG if refused.reason is Reason.NO_TOKEN else logging.WARNING, (refused.reason,))
        if _log.isEnabledFor(level):  # in a flood it is not
            detail = refused.detail
            if refused.issuer is not None and isinstance(refused, Unavailable):  # whose fault it is
                detail = f"{refused.issuer}: {detail}"
            _log.log(level, "refused with %d: %s", refused.status, _OneLine(refused.reason, detail))
        if self._on_event is not None:
            self._send(events.RequestRefused(reason=refused.reason, issuer=refused.issuer, client_id=refused.client_id))

    def accepted(self, token: AccessToken) -> None:
        self._send(events.RequestAccepted(issuer=token.issuer, client_id=token.client_id))

    def happened(self, event: Event) -> None:
        kind = (type(event).__name__, getattr(event, "issuer", None))
        match event:
            case events.KeysRefreshed(issuer=issuer, added=added, removed=removed):
                self._recovered(issuer, kind)
                if added or removed:
                    said = [one_line(", ".join(names) or "none") for names in (added, removed)]
                    _log.info("keys of %s: added %s, removed %s", issuer, *said)
            case events.KeySkipped(issuer=issuer, kid=kid, why=why):
                self._log(logging.WARNING, kind, "a key of %s is of no use: kid %s: %s", issuer, kid, why)
            case events.RefreshFailed(issuer=issuer, trouble=trouble, failures=failures, retry_in=retry_in):
                self._failing |= frozenset({issuer} if len(self._failing) < _MAX_FAILING else ())
                text = "keys of %s: fetch %d in a row failed: %s; next in %.0f s"
                self._log(logging.WARNING, kind, text, issuer, failures, one_line(trouble), retry_in)
            case events.DiscoveryFailed(issuer=issuer, trouble=trouble):
                text = "metadata of %s: %s; its last known key set is still used"
                self._log(logging.WARNING, kind, text, issuer, one_line(trouble))
            case events.ServingStale(issuer=issuer, age=age, ends_in=ends_in):
                text = "keys of %s are %.0f s old and stale; 503 in %.0f s"
                self._log(logging.WARNING, kind, text, issuer, age, ends_in)
            case events.IntrospectionFailed(issuer=issuer, trouble=trouble, credentials=True):
                text = "introspection at %s refuses our credentials, and no opaque token can be judged: %s"
                self._log(logging.ERROR, ("credentials", issuer), text, issuer, one_line(trouble))
            case events.IntrospectionFailed(issuer=issuer, trouble=trouble, pause=pause):
                # That it is not asked any more is news, however often it failed in this second.
                kind, then = (("paused", issuer), f"; paused for {pause:.0f} s") if pause else (kind, "")
                self._log(logging.WARNING, kind, "introspection at %s failed: %s%s", issuer, one_line(trouble), then)
            case events.IntrospectionRecovered(issuer=issuer):
                self._log(logging.WARNING, kind, "introspection at %s answers again", issuer)
            case _:
                pass  # the refusal is logged where it is answered
        self._send(event)

    def _recovered(self, issuer: str, kind: _Kind) -> None:
        """As loud as the failure was: who was woken by that wants to know."""
        if issuer in self._failing:
            self._failing = self._failing - {issuer}
            self._log(logging.WARNING, kind, "keys of %s: fetched again", issuer)

    def _log(self, level: int, kind: _Kind, text: str, *arguments: object) -> None:
        _log.log(self._level(level, kind), text, *arguments, exc_info=kind == _OWN_TROUBLE)

    def _level(self, level: int, kind: _Kind) -> int:
        """The level, but for what comes again within a second."""
        tick = self._monotonic()
        if level > logging.DEBUG:
            if tick < self._quiet_until.get(kind, tick):
                return logging.DEBUG
            if len(self._quiet_until) >= _MAX_KINDS:
                self._quiet_until = {kind: until for kind, until in self._quiet_until.copy().items() if tick < until}
                # Reasons of refusals are few, and what only the operator can mend must not drown.
                if len(self._quiet_until) >= _MAX_KINDS and len(kind) > 1 and level < logging.ERROR:
                    return logging.DEBUG
            self._quiet_until[kind] = tick + _PAUSE
        return level

    def _send(self, event: Event) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - whatever it is, it must change no verdict
            self._log(logging.ERROR, _OWN_TROUBLE, "on_event raised for %s", type(event).__name__)
