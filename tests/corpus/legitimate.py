"""V: what must be accepted. A false refusal is a failure too."""

from __future__ import annotations

from base64 import urlsafe_b64decode

from tests.corpus.case import Cases, members, values
from tests.forge import (
    ALGORITHMS,
    AUDIENCE,
    DROP,
    NOW,
    P256_ORDER,
    as_bytes,
    b64,
    claims,
    forge,
    header,
    of_size,
    rfc9068_claims,
)

CASES = Cases()

for alg in ALGORITHMS:
    CASES.accept(f"V01:{alg}", forge(by=alg))
    CASES.accept(f"V01:{alg}-as-bytes", forge(by=alg).encode())
    CASES.accept(f"V01:{alg}-rfc9068", forge(rfc9068_claims(), header(alg, typ="at+jwt"), by=alg), "rfc9068")

# RFC 7515 s4.1.9: media types have no case, and "application/" may be left out.
for typ in ("JWT", "jwt", "Jwt", "at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "application/jwt",
            "APPLICATION/JWT", "Application/AT+JWT"):  # fmt: skip
    CASES.accept(f"V02:{typ}", forge(head=header(typ=typ)))
CASES.accept("V02:absent", forge(head=header(typ=DROP)))
for typ in ("at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/at+JWT"):
    CASES.accept(f"V02:{typ}-rfc9068", forge(rfc9068_claims(), header(typ=typ)), "rfc9068")

for name, aud in values(
    {
        "string": AUDIENCE,
        "list-of-one": [AUDIENCE],
        "last-of-many": [*(f"https://{i}.example.com" for i in range(50)), AUDIENCE],
        "repeated": [AUDIENCE, AUDIENCE],
        "beside-the-empty-string": ["", AUDIENCE],
    }
).items():
    CASES.accept(f"V03:{name}", forge(claims(aud=aud)))
CASES.accept("V03:second-of-our-own", forge(claims(aud=["urn:other"])), "two audiences")
CASES.accept("V03:any", forge(claims(aud="https://elsewhere.example")), "any audience")
CASES.accept("V03:any-absent", forge(claims(aud=DROP)), "any audience")

CASES.accept("V05:nbf-absent", forge(claims(nbf=DROP)))
CASES.accept("V05:iat-absent", forge(claims(iat=DROP)))
CASES.accept("V05:iat-ten-years-old", forge(claims(iat=NOW - 10 * 365 * 86400)))
CASES.accept("V05:iat-zero", forge(claims(iat=0)))
CASES.accept("V05:iat-before-1970", forge(claims(iat=-1)))
CASES.accept("V05:nbf-negative-zero", forge(as_bytes(claims())[:-1] + b',"nbf":-0}'))
CASES.accept("V05:sub-absent", forge(claims(sub=DROP)))

# Within 60 s of leeway (RFC 7519 s4.1.4 to 6). Floats are NumericDates too (s2).
for name, times in members(
    {
        "exp-59-past": {"exp": NOW - 59},
        "exp-59.999-past": {"exp": NOW - 59.999},
        "nbf-60-ahead": {"nbf": NOW + 60},
        "nbf-59.5-ahead": {"nbf": NOW + 59.5},
        "iat-60-ahead": {"iat": NOW + 60},
        "iat-59.999-ahead": {"iat": NOW + 59.999},
        "all-three": {"exp": NOW - 30, "nbf": NOW + 30, "iat": NOW + 30},
        "exp-float": {"exp": NOW + 0.5},
        "exp-year-9999": {"exp": 253402300799},
        "nbf-equals-exp": {"nbf": NOW + 10, "exp": NOW + 10},
        "iat-after-exp": {"iat": NOW + 50, "exp": NOW - 50},
    }
).items():
    CASES.accept(f"V06:{name}", forge(claims(**times)))
CASES.accept("V06:exp-1-ahead-no-leeway", forge(claims(exp=NOW + 1)), "no leeway")
CASES.accept("V06:exp-a-millisecond-ahead-no-leeway", forge(claims(exp=NOW + 0.001)), "no leeway")
CASES.accept("V06:nbf-and-iat-now-no-leeway", forge(claims(nbf=NOW, iat=NOW)), "no leeway")
CASES.accept("V06:an-hour-and-leeway-old", forge(claims(iat=NOW - 3660)), "at most an hour old")
CASES.accept("V06:exp-with-exponent", forge(as_bytes(claims(exp=DROP))[:-1] + b',"exp":18000001E2}'))
CASES.accept("V06:exp-with-fraction-of-zero", forge(as_bytes(claims(exp=DROP))[:-1] + b',"exp":1800000600.0}'))

for name, scopes in members(
    {
        "absent": {},
        "empty": {"scope": ""},
        "one-space": {"scope": " "},
        "string": {"scope": "read write"},
        "double-space": {"scope": " read  write "},
        "repeated": {"scope": "read read"},
        "scope-list": {"scope": ["read", "write"]},
        "scp-list": {"scp": ["read", "write"]},
        "scp-string": {"scp": "read write"},
        "scp-empty-list": {"scp": []},
        "both-the-same-set": {"scope": "read write", "scp": ["write", "read"]},
        "both-empty": {"scope": "", "scp": []},
        "every-character": {"scope": "".join(map(chr, [0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)]))},
        "of-a-url": {"scope": "https://api.example.com/items.read openid urn:x:y!z"},
        "many": {"scope": " ".join(f"s{i}" for i in range(500))},
    }
).items():
    CASES.accept(f"V09:{name}", forge(claims(**scopes)))

# What real servers put into access tokens.
for name, more in members(
    {
        "nonce": {"nonce": "n-0S6_WzA2Mj"},
        "auth-time-acr-amr": {"auth_time": NOW - 100, "acr": "urn:mace:incommon:iap:silver", "amr": ["pwd", "otp"]},
        "azp-and-sid": {"azp": "client-1", "sid": "session-1", "session_state": "x"},
        "actor": {"act": {"sub": "admin", "act": {"sub": "root"}}, "may_act": {"sub": "x"}},
        "keycloak-bearer": {
            "typ": "Bearer",
            "realm_access": {"roles": ["a"]},
            "resource_access": {"x": {"roles": ["b"]}},
        },
        "cognito-access": {"token_use": "access", "client_id": "abc", "version": 2},
        "roles-groups-entitlements": {"roles": ["r"], "groups": ["g"], "entitlements": ["e"]},
        "authorization-details": {"authorization_details": [{"type": "t", "actions": ["read"]}]},
        "entra": {"ver": "2.0", "tid": "t", "oid": "o", "aio": "x", "rh": "y", "uti": "z", "idp": "i"},
        "null-unrelated": {"email": None},
        "empty-sub": {"sub": ""},
        "empty-name": {"": 1},
        "long-sub": {"sub": "x" * 4000},
        "unicode": {"name": "Zoë \U0001f600 \u202e ا", "имя": "ключ"},
        "line-separators": {"name": "\u2028\u2029\x7f\x85\xa0\ufeff\ufffe\uffff"},
        "token-in-a-claim": {"subject_token": forge()},
        "cased-names": {"EXP": 1, "Iss": "x", "AUD": 3, "Cnf": {}, "Events": 1, "NBF": NOW * 2},
        "vaguely-foreign-marks": {"s_hash": "x", "token_type": "Bearer", "event": {}},
    }
).items():
    CASES.accept(f"V:claims-{name}", forge(claims(**more)))
CASES.accept("V:claims-jti-and-client-id", forge(rfc9068_claims()))

# Header parameters that nobody has to understand, and none of which is ever followed (RFC 7515 s4).
for name, params in members(
    {
        "kid-absent": {"kid": DROP},
        "unknown": {"x-custom": [1, {"a": None}], "nonce": "n", "iss": "x", "ver": 1},
        "jwk-of-ours": {"jwk": {"kty": "RSA"}},
        "jku": {"jku": "https://attacker.example/jwks"},
        "x5u": {"x5u": "http://169.254.169.254/latest/meta-data"},
        "x5c": {"x5c": ["MIIB"]},
        "x5t": {"x5t": "abc", "x5t#S256": "def"},
        "odd-types-of-hints": {"jwk": 1, "jku": [], "x5u": None, "x5c": "x", "x5t": {}, "x5t#S256": 0},
        "cased-names": {"CRIT": ["exp"], "Alg": "none", "KID": 7, "Typ": "dpop+jwt", "B64": False, "Zip": "DEF"},
        "replicated-claims": {"exp": 1, "aud": "elsewhere"},
    }
).items():
    CASES.accept(f"V:header-{name}", forge(head=header(**params)))
for alg in ALGORITHMS:
    CASES.accept(f"V:kid-absent-{alg}", forge(head=header(alg, kid=DROP), by=alg))
CASES.accept("V:kid-absent-and-keys-without", forge(head=header(kid=DROP)), "keys without kid")
CASES.accept(
    "V:kid-absent-and-keys-without-EdDSA", forge(head=header("EdDSA", kid=DROP), by="EdDSA"), "keys without kid"
)
CASES.accept(
    "V:key-without-alg-serves-PS256", forge(head=header("PS256", kid=DROP), by="RSA as PS256"), "keys without kid"
)
CASES.accept("V:Ed25519", forge(head={"alg": "Ed25519", "kid": "ed"}, by="EdDSA"), "Ed25519 by both names")

# An ECDSA signature has a twin that anyone can compute, and that is as good (RFC 7518 s3.4 asks for no low S).
_signed, _, _signature = forge(by="ES256").rpartition(".")
_raw = urlsafe_b64decode(_signature + "==")
_twin = _raw[:32] + (P256_ORDER - int.from_bytes(_raw[32:])).to_bytes(32)
CASES.accept("V:ES256-twin-signature", f"{_signed}.{b64(_twin)}")


CASES.accept("V:at-most-16384-characters", of_size(16_384))
CASES.accept("V:at-most-16384-bytes", of_size(16_384).encode())
