"""What an issuer says of a token (RFC 7662).

`opaque` tells which issuer to ask; `introspector` asks, and remembers; `endpoint` is the other side: where it is, who
we are to it (`client_auth`), whether to leave it alone (`breaker`); `answer` reads what it said, `signed` what it
signed.
"""
