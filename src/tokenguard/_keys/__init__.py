"""An issuer's keys.

`jwk` reads one key (RFC 7517), `jwks` a set of them; `lookup` is where the core finds a key, in a set from the
configuration or in one that `remote` fetches, keeps and lets go.
"""
