"""What tests need: a real authorization server on loopback, and a validator that believes what it is told.

`LocalIssuer` serves discovery, keys, introspection, revocation and client credentials over HTTP, mints any token, good
or forged, JWT or opaque, and fails in the ways that real servers and networks do.

>>> with LocalIssuer() as issuer:
...     token = issuer.mint(scope="orders:read")
>>> token.count(".")
2

It uses nothing of the library, so that both cannot share one mistake.

`StaticValidator` takes the place of a `TokenValidator` where a test is about a route and not about tokens.

>>> StaticValidator(scopes=("orders:read",)).validate("anything").subject
'user-1'

`tokenguard.testing.pytest_plugin` has both as fixtures, for those who ask for it (`docs/testing.md`).
"""

from ._answers import Request
from ._clients import Client
from ._faults import Fault, Reply
from ._local_issuer import LocalIssuer
from ._static import StaticValidator

__all__ = ["Client", "Fault", "LocalIssuer", "Reply", "Request", "StaticValidator"]
