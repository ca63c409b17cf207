"""A real authorization server for tests and demos, on loopback.

`LocalIssuer` serves discovery, keys, introspection, revocation and client credentials over HTTP, mints any token, good
or forged, JWT or opaque, and fails in the ways that real servers and networks do.

>>> with LocalIssuer() as issuer:
...     token = issuer.mint(scope="orders:read")
>>> token.count(".")
2

It stands beside the library and uses nothing of it, so that both cannot share one mistake.
"""

from ._answers import Request
from ._clients import Client
from ._faults import Fault, Reply
from ._local_issuer import LocalIssuer

__all__ = ["Client", "Fault", "LocalIssuer", "Reply", "Request"]
