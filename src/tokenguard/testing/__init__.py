"""A real authorization server for tests and demos, on loopback.

`LocalIssuer` serves discovery and keys over HTTP, mints any token, good or forged, and fails in the ways that real
servers and networks do.

>>> with LocalIssuer() as issuer:
...     token = issuer.mint(scope="orders:read")
>>> token.count(".")
2

It stands beside the library and uses nothing of it, so that both cannot share one mistake.
"""

from ._faults import Fault
from ._local_issuer import LocalIssuer

__all__ = ["Fault", "LocalIssuer"]
