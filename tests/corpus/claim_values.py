"""C: who issued it, for whom, about whom, and what kind of token it is."""

from __future__ import annotations

from tests.corpus.case import Cases, members, values
from tests.forge import AUDIENCE, DROP, ISSUER, NOW, as_bytes, claims, forge, header, rfc9068_claims
from tokenguard import Reason

CASES = Cases()
_ISS, _AUD, _MALFORMED = Reason.WRONG_ISSUER, Reason.WRONG_AUDIENCE, Reason.MALFORMED_CLAIM
_KIND = Reason.WRONG_TOKEN_KIND

for name, iss in values({
    "missing": DROP, "null": None, "wrong": "https://evil.example", "empty": "", "list": [ISSUER],
    "object": {"iss": ISSUER}, "true": True, "number": 1, "false": False,
    "zero": 0, "empty-list": [], "empty-object": {}, "audience": AUDIENCE,
}).items():  # fmt: skip
    CASES.refuse(f"C12:{name}", forge(claims(iss=iss)), _ISS)
# C12: exact. No normalisation of URLs or of Unicode makes two issuers one (CVE-2024-53861).
for name, iss in values({
    "prefix": ISSUER[:-1], "suffix": f"{ISSUER}m", "substring": "as.example.com", "one-character": "h",
    "slash": f"{ISSUER}/", "path": f"{ISSUER}/realms/x", "upper": ISSUER.upper(),
    "host-case": "https://AS.example.com", "port": f"{ISSUER}:443", "http": "http://as.example.com",
    "space": f"{ISSUER} ", "space-before": f" {ISSUER}", "nul": f"{ISSUER}\0", "newline": f"{ISSUER}\n",
    "query": f"{ISSUER}?", "fragment": f"{ISSUER}#", "userinfo": "https://as.example.com@evil.example",
    "trailing-dot": "https://as.example.com.", "subdomain": "https://as.example.com.evil.example",
    "dot-segment": f"{ISSUER}/.", "escaped": "https://as%2Eexample.com", "cyrillic": "https://\u0430s.example.com",
    "fullwidth-dot": "https://as\uff0eexample.com", "zwsp": "https://as.\u200bexample.com",
    "combining": f"{ISSUER}\u0301", "backslash": "https:\\\\as.example.com", "wildcard": "*", "regex": "https://.*",
    "joined": f"{ISSUER},https://evil.example", "bom": f"\ufeff{ISSUER}",
}).items():  # fmt: skip
    CASES.refuse(f"C13:{name}", forge(claims(iss=iss)), _ISS)
CASES.refuse("C12:only-in-the-header", forge(claims(iss=DROP), header(iss=ISSUER)), _ISS)

for name, aud in values({
    "missing": DROP, "wrong": "https://other.example", "empty": "", "empty-list": [],
    "list-without-us": ["https://other.example", "x"], "list-of-empty": [""],
    "issuer": ISSUER,
}).items():  # fmt: skip
    CASES.refuse(f"C16:{name}", forge(claims(aud=aud)), _AUD)
for name, odd in values({
    "null": None, "number": 1, "true": True, "object": {AUDIENCE: 1}, "object-of-lists": {"aud": [AUDIENCE]},
    "list-with-number": [AUDIENCE, 1], "list-with-null": [None, AUDIENCE],
    "nested-list": [[AUDIENCE]], "list-with-list": [AUDIENCE, [AUDIENCE]],
    "list-with-object": [AUDIENCE, {}], "list-of-true": [True], "zero": 0, "empty-object": {},
    "false": False,
}).items():  # fmt: skip
    CASES.refuse(f"C16:{name}", forge(claims(aud=odd)), _MALFORMED)
    CASES.refuse(f"C16:{name}-where-any-will-do", forge(claims(aud=odd)), _MALFORMED, "any audience")
for name, text in {
    "prefix": AUDIENCE[:-1], "superset": f"{AUDIENCE}/v2", "suffix": "api.example.com", "case": AUDIENCE.upper(),
    "slash": f"{AUDIENCE}/", "space": f"{AUDIENCE} ", "star": "*",
    "nul": f"{AUDIENCE}\0", "one-character": "a", "joined-by-space": f"{AUDIENCE} https://other.example",
    "joined-by-comma": f"https://other.example,{AUDIENCE}", "json-list": f'["{AUDIENCE}"]',
    "port": f"{AUDIENCE}:443", "http": "http://api.example.com", "newline": f"{AUDIENCE}\n",
    "fragment": f"{AUDIENCE}#", "cyrillic": "https://\u0430pi.example.com",
    "fullwidth": "\uff48ttps://api.example.com",
    "combining": f"{AUDIENCE}\u0301", "escaped": "https%3A%2F%2Fapi.example.com",
    "wildcard-host": "https://*.example.com", "account": "account", "all": "all", "long": AUDIENCE * 200,
}.items():  # fmt: skip
    CASES.refuse(f"C17:{name}", forge(claims(aud=text)), _AUD)
    CASES.refuse(f"C17:{name}-in-list", forge(claims(aud=[text, "x"])), _AUD)
CASES.refuse(
    "C17:only-in-azp-and-resource", forge(claims(aud=DROP, azp=AUDIENCE, resource=AUDIENCE, client_id=AUDIENCE)), _AUD
)
CASES.refuse("C17:third-of-two", forge(claims(aud="urn:third")), _AUD, "two audiences")

for claim in ("sub", "client_id", "jti"):
    for name, value in values(
        {
            "int": 1,
            "list": ["user-1"],
            "object": {"id": 1},
            "true": True,
            "null": None,
            "float": 1.5,
            "zero": 0,
            "false": False,
            "empty-list": [],
            "big": 10**200,
        }
    ).items():
        CASES.refuse(f"C21:{claim}-{name}", forge(claims(**{claim: value})), _MALFORMED)

# C24, C27: another kind of token of the same issuer, signed with the same key.
for name, more in members({
    "id-token-at-hash": {"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng", "nonce": "n"},
    "id-token-c-hash": {"c_hash": "LDktKdoQak3Pk0cnXxCltA"}, "at-hash-null": {"at_hash": None},
    "c-hash-empty": {"c_hash": ""},
    "logout": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "x"},
    "security-event": {"events": {"https://schemas.openid.net/secevent/risc/event-type/account-disabled": {}}},
    "events-empty": {"events": {}}, "events-null": {"events": None}, "cognito-id": {"token_use": "id"},
    "cognito-id-upper": {"token_use": "ID"}, "keycloak-id": {"typ": "ID"}, "keycloak-id-lower": {"typ": "id"},
    "keycloak-refresh": {"typ": "Refresh"}, "keycloak-refresh-upper": {"typ": "REFRESH"},
    "keycloak-offline": {"typ": "Offline"}, "keycloak-logout": {"typ": "Logout"},
    "hydra-refresh": {"token_use": "refresh_token"}, "lightwave-refresh": {"token_class": "refresh_token"},
    "lightwave-id": {"token_class": "id_token"}, "simplejwt-refresh": {"token_type": "refresh"},
}).items():  # fmt: skip
    CASES.refuse(f"C24:{name}", forge(claims(**more)), _KIND)
    CASES.refuse(f"C24:{name}-rfc9068", forge(rfc9068_claims(**more), header(typ="at+jwt")), _KIND, "rfc9068")
for claim in ("typ", "token_use", "token_class", "token_type"):
    for name, odd in values({"null": None, "list": ["ID"], "true": True, "number": 1, "object": {}}).items():
        CASES.refuse(f"C24:{claim}-{name}", forge(claims(**{claim: odd})), _MALFORMED)

# C45, C49: bound to a key, and no proof of it.
for name, cnf in values({
    "jkt": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
    "x5t-s256": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}, "jwk": {"jwk": {"kty": "RSA"}},
    "kid": {"kid": "x"},
    "empty": {}, "null": None, "string": "x", "list": [], "false": False, "unknown-method": {"x": 1},
}).items():  # fmt: skip
    CASES.refuse(f"C:cnf-{name}", forge(claims(cnf=cnf)), Reason.BOUND_TOKEN)
CASES.refuse(
    "C:cnf-rfc9068", forge(rfc9068_claims(cnf={"jkt": "x"}), header(typ="at+jwt")), Reason.BOUND_TOKEN, "rfc9068"
)
CASES.refuse("C:cnf-escaped", forge(as_bytes(claims())[:-1] + b',"\\u0063nf":{}}'), Reason.BOUND_TOKEN)

# C16: profile rfc9068 requires each of these; null is present, and of the wrong type.
for claim in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti"):
    head = header(typ="at+jwt")
    CASES.refuse(
        f"C:rfc9068-without-{claim}",
        forge(rfc9068_claims(**{claim: DROP}), head),
        _ISS if claim == "iss" else Reason.MISSING_CLAIM,
        "rfc9068",
    )
    CASES.refuse(
        f"C:rfc9068-{claim}-null",
        forge(rfc9068_claims(**{claim: None}), head),
        _ISS if claim == "iss" else _MALFORMED,
        "rfc9068",
    )
    CASES.refuse(
        f"C:rfc9068-{claim}-cased",
        forge(rfc9068_claims(**{claim: DROP, claim.upper(): "x"}), head),
        _ISS if claim == "iss" else Reason.MISSING_CLAIM,
        "rfc9068",
    )
CASES.refuse("C:rfc9068-other-audience", forge(rfc9068_claims(aud="x"), header(typ="at+jwt")), _AUD, "rfc9068")
CASES.refuse("C:rfc9068-expired", forge(rfc9068_claims(exp=NOW - 60), header(typ="at+jwt")), Reason.EXPIRED, "rfc9068")
