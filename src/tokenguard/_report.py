"""What the operator gets to see of refusals: the `tokenguard` logger."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .errors import Reason, RequestRefused

_log = logging.getLogger("tokenguard")
_PAUSE = 1.0  # seconds between two warnings for one reason: a flood of bad tokens is no flood of log lines


class Reporter:
    """Logs each refusal: one warning per reason and second, the rest at DEBUG; and there what came without a token."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._quiet_until: dict[Reason, float] = {}

    def refused(self, refused: RequestRefused) -> None:
        tick = self._monotonic()
        if refused.reason is Reason.NO_TOKEN or tick < self._quiet_until.get(refused.reason, tick):
            _log.debug("refused with %d: %s", refused.status, refused)
            return
        self._quiet_until[refused.reason] = tick + _PAUSE
        _log.warning("refused with %d: %s", refused.status, refused)

    def key_skipped(self, issuer: str, kid: str, why: str) -> None:
        _log.warning("a key of %s is of no use: kid %s: %s", issuer, kid, why)
