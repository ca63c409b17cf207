"""From a refusal to its answer."""

from __future__ import annotations

from email.message import Message

from tokenguard import AccessDenied, Unavailable
from tokenguard.integrations._answers import hold


class _Counted(AccessDenied):
    read = 0

    @property
    def headers(self) -> dict[str, str]:
        self.read += 1
        return {**super().headers, "DPoP-Nonce": "of a subclass"}


def test_headers_of_a_refusal_are_worked_out_once_and_take_the_place_of_others() -> None:
    headers, refused = Message(), _Counted()
    for name in ("Cache-Control", "Location", "Retry-After", "WWW-Authenticate", "Content-Type", "X-Other"):
        headers[name] = "the handler's"
    hold(headers, refused)
    assert refused.read == 1
    assert dict(headers) == {
        "Content-Type": "the handler's",
        "X-Other": "the handler's",
        "Cache-Control": "no-store",
        "WWW-Authenticate": str(refused.challenge),
        "DPoP-Nonce": "of a subclass",
    }
    hold(headers, Unavailable(retry_after=7))
    assert (headers["Retry-After"], headers["WWW-Authenticate"]) == ("7", None)
