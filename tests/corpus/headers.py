"""H: alg is ours to choose, typ tells tokens apart, and what changes a token's meaning is refused."""

from __future__ import annotations

import zlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.corpus.case import Cases, members, values
from tests.forge import (
    DROP,
    KIDS,
    P256,
    RSA,
    RSA_PSS,
    as_bytes,
    claims,
    forge,
    header,
    hs256,
    pss_signer,
    public_jwk,
    rfc9068_claims,
)
from tokenguard import Reason

CASES = Cases()
_ALG, _UNSUPPORTED = Reason.WRONG_ALGORITHM, Reason.UNSUPPORTED_HEADER
GOOD = forge()


def _member(text: bytes) -> bytes:
    return as_bytes(header(alg=DROP))[:-1] + b"," + text + b"}"


# H01, H02 (CVE-2015-9235): no spelling of none is an algorithm, with or without something in the signature's place.
for name, alg in {
    "none": "none", "None": "None", "NONE": "NONE", "nOnE": "nOnE", "none-space": "none ", "space-none": " none",
    "none-nul": "none\0",
    "fullwidth": "\uff4e\uff4f\uff4e\uff45", "zwsp": "n\u200bone", "null": "null", "empty-b64": "bm9uZQ",
}.items():  # fmt: skip
    unsigned = forge(head=header(alg=alg), by="none")
    CASES.refuse(f"H01:{name}-empty-signature", unsigned, Reason.MALFORMED)
    CASES.refuse(f"H01:{name}-some-signature", f"{unsigned}AAAA", _ALG)
    CASES.refuse(f"H02:{name}-old-signature", unsigned + GOOD.rpartition(".")[2], _ALG)
    CASES.refuse(f"H02:{name}-really-signed", forge(head=header(alg=alg)), _ALG)
    CASES.refuse(f"H02:{name}-two-segments", unsigned[:-1], Reason.MALFORMED)
    CASES.refuse(f"H02:{name}-without-kid", forge(head={"alg": alg}, by="none") + "AA", _ALG)

for name, odd in values({
    "null": None, "empty": "", "zero": 0, "list": ["RS256"], "object": {"RS256": 1}, "true": True, "float": 256.0,
    "false": False,
    "list-of-none": [], "nested": [["RS256"]], "both": ["none", "RS256"],
}).items():  # fmt: skip
    CASES.refuse(f"H03:{name}", forge(head=header(alg=odd)), _ALG)
CASES.refuse("H03:missing", forge(head=header(alg=DROP)), _ALG)
CASES.refuse("H03:only-in-another-case", forge(head=header(alg=DROP, ALG="RS256", Alg="RS256")), _ALG)
CASES.refuse("H03:empty-object", forge(head=b"{}"), _ALG)

# C19: names are exact.
for alg in (
    "rs256", "Rs256", "RS256 ", " RS256", "RS256\0", "RS-256", "RS0256", "RS256\n", "SHA256withRSA", "RSA-SHA256",
    "RSA", "*", "RS2\u0035\uff16",
    "\u211d\u211d256", "RS256,PS256", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "eddsa", "EDDSA",
            "Ed25519", "es256", "ES256K", "Ed448",
    "A128KW", "dir", "RSA-OAEP", "PBES2-HS256+A128KW", "__class__", "ES256 ", "ML-DSA-44",
            "R" * 4000):  # fmt: skip
    CASES.refuse(f"H:alg-{ascii(alg)[1:-1][:20]}-{len(alg)}", forge(head=header(alg=alg)), _ALG)
for kid in ("es", "ed", "ps"):
    CASES.refuse(f"H:alg-Ed25519-not-allowed-{kid}", forge(head=header(alg="Ed25519", kid=kid), by="EdDSA"), _ALG)

# H05: a public key is no secret (CVE-2016-5431, CVE-2022-29217, ...). Every text of it that somebody might hash with.
_public = RSA.public_key()
_rsa_jwk = public_jwk(RSA, kid="rs", alg="RS256", use="sig")
_spki, _pkcs1 = (
    _public.public_bytes(Encoding.PEM, form) for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1)
)
_ec_pem = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SPELLINGS = {
    "pem": _spki, "pem-without-newline": _spki.strip(), "pem-crlf": _spki.replace(b"\n", b"\r\n"),
    "pem-one-line": _spki.replace(b"\n", b""),
    "pem-base64-only": b"".join(_spki.splitlines()[1:-1]), "pem-nul": _spki + b"\0", "pkcs1": _pkcs1,
    "pkcs1-without-newline": _pkcs1.strip(),
    "der": _public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "der-pkcs1": _public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "openssh": _public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH), "jwk": as_bytes(_rsa_jwk),
    "jwk-bare": as_bytes(public_jwk(RSA)),
    "jwks": as_bytes({"keys": [_rsa_jwk]}), "n": _rsa_jwk["n"].encode(),
    "n-octets": _public.public_numbers().n.to_bytes(256), "e": b"AQAB",
    "ec-pem": _ec_pem, "ec-der": P256.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "ec-point": P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    "ec-jwk": as_bytes(public_jwk(P256)),
    "kid": b"rs", "empty": b"", "nul": b"\0", "secret": b"secret",
    "shared-key-in-the-set": b"a shared secret of thirty-two by",
}  # fmt: skip
for name, secret in SPELLINGS.items():
    CASES.refuse(f"H05:HS256-{name}", forge(head=header(alg="HS256"), by=hs256(secret)), _ALG)
    # ... and under a name that is allowed, where a confused verifier goes by the secret.
    CASES.refuse(f"H05:RS256-by-hmac-{name}", forge(by=hs256(secret)), Reason.BAD_SIGNATURE)
for alg in ("HS256", "HS384", "HS512"):
    CASES.refuse(f"H05:{alg}-oct-kid", forge(head=header(alg=alg, kid="oct"), by=alg), _ALG)
    CASES.refuse(f"H05:{alg}-no-kid", forge(head={"alg": alg}, by=alg), _ALG)
CASES.refuse("H05:HS256-short", forge(head=header(alg="HS25"), by="HS256"), _ALG)
CASES.refuse("H05:RS256-under-the-oct-kid", forge(head=header(kid="oct"), by="HS256"), Reason.UNKNOWN_KEY)

# H08: each algorithm under the keys of all others, signed by the key's owner or by the algorithm's.
for alg, own in KIDS.items():
    for owner, kid in KIDS.items():
        if alg != owner:
            CASES.refuse(
                f"H08:{alg}-under-{kid}-signed-{owner}", forge(head=header(alg, kid=kid), by=owner), Reason.UNKNOWN_KEY
            )
            CASES.refuse(
                f"H08:{alg}-under-{kid}-signed-{alg}", forge(head=header(alg, kid=kid), by=alg), Reason.UNKNOWN_KEY
            )
            CASES.refuse(
                f"H08:{alg}-under-{own}-signed-{owner}", forge(head=header(alg), by=owner), Reason.BAD_SIGNATURE
            )
            CASES.refuse(f"H08:{alg}-no-kid-signed-{owner}", forge(head={"alg": alg}, by=owner), Reason.BAD_SIGNATURE)
CASES.refuse("H08:RS256-by-the-PS256-key", forge(head=header(kid="ps"), by="RSA_PSS as RS256"), Reason.UNKNOWN_KEY)
CASES.refuse("H08:PS256-by-the-RS256-key", forge(head=header("PS256", kid="rs"), by="RSA as PS256"), Reason.UNKNOWN_KEY)
CASES.refuse("H08:ES256-by-P-384", forge(head=header("ES256"), by="P384 as ES256"), Reason.BAD_SIGNATURE)
CASES.refuse("H08:ES256-with-SHA-384", forge(head=header("ES256"), by="P256 with SHA-384"), Reason.BAD_SIGNATURE)

_SAME_FAMILY = {"R": "RS256", "P": "PS256", "E": "ES256"}
for alg in ("RS384", "RS512", "PS384", "PS512", "ES384", "ES512", "RS1"):
    for kid in ("rs", "es"):
        CASES.refuse(f"H10:{alg}-{kid}", forge(head={"alg": alg, "kid": kid}, by=alg), _ALG)
    called = _SAME_FAMILY[alg[0]]
    CASES.refuse(f"H10:{alg}-called-{called}", forge(head=header(called), by=alg), Reason.BAD_SIGNATURE)
# RFC 7518 s3.5: the salt is as long as the hash, and MGF1 uses the same hash.
for salt in (0, 20, 31, 33, 64, 222):
    CASES.refuse(
        f"H10:PS256-salt-{salt}",
        forge(head=header("PS256"), by=pss_signer(RSA_PSS, hashes.SHA256(), salt)),
        Reason.BAD_SIGNATURE,
    )
CASES.refuse(
    "H10:PS256-mgf1-sha1",
    forge(head=header("PS256"), by=pss_signer(RSA_PSS, hashes.SHA256(), 32, hashes.SHA1())),
    Reason.BAD_SIGNATURE,
)
CASES.refuse(
    "H10:PS256-mgf1-sha512",
    forge(head=header("PS256"), by=pss_signer(RSA_PSS, hashes.SHA256(), 32, hashes.SHA512())),
    Reason.BAD_SIGNATURE,
)

# C28: no extension is understood, so whatever is critical is refused; a crit that is none is refused as well.
for name, crit in values({
    "unknown": ["x"], "exp": ["exp"], "registered": ["alg"], "several": ["exp", "b64"], "empty-list": [],
    "string": "exp", "null": None, "true": True,
    "false": False, "object": {"exp": 1}, "number": 0, "list-of-null": [None], "list-of-number": [1],
    "repeated": ["exp", "exp"], "nested": [["exp"]],
    "empty-name": [""], "empty-string": "", "http": ["http://example.com/ext"], "not-there": ["nowhere"],
}).items():  # fmt: skip
    CASES.refuse(f"H11:{name}", forge(head=header(crit=crit, exp=1, x=True)), _UNSUPPORTED)
CASES.refuse("H11:escaped-name", forge(head=_member(b'"alg":"RS256","\\u0063rit":["x"]')), _UNSUPPORTED)
for name, params in members({
    "zip-def": {"zip": "DEF"}, "zip-null": {"zip": None}, "zip-gzip": {"zip": "GZIP"}, "enc": {"enc": "A256GCM"},
    "enc-null": {"enc": None},
    "cty-jwt": {"cty": "JWT"}, "cty-lower": {"cty": "jwt"}, "cty-json": {"cty": "application/json"},
    "cty-empty": {"cty": ""}, "cty-null": {"cty": None},
    "cty-list": {"cty": ["JWT"]}, "cty-example": {"cty": "example"},
}).items():  # fmt: skip
    CASES.refuse(f"H11:{name}", forge(head=header(**params)), _UNSUPPORTED)
CASES.refuse("H11:nested-jws", forge(forge().encode(), header(cty="JWT")), _UNSUPPORTED)
CASES.refuse("H11:nested-jws-without-cty", forge(forge().encode()), Reason.MALFORMED)
CASES.refuse("H11:compressed-payload", forge(zlib.compress(as_bytes(claims())), header(zip="DEF")), _UNSUPPORTED)

for name, text in {
    "array": b"[]", "array-of-header": b"[" + as_bytes(header()) + b"]", "string": b'"RS256"', "number": b"256",
    "null": b"null", "true": b"true",
    "garbage": b"\xde\xad\xbe\xef", "space": b" ", "half": b'{"alg":"RS256"',
    "two": as_bytes(header()) * 2, "string-of-header": b'"{\\"alg\\":1}"',
}.items():  # fmt: skip
    CASES.refuse(f"H13:{name}", forge(head=text), Reason.MALFORMED)
CASES.refuse("H13:empty", forge(head=b""), Reason.MALFORMED)

for name, first, last in (
    ("none-last", b"RS256", b"none"), ("none-first", b"none", b"RS256"), ("HS256-last", b"RS256", b"HS256"),
    ("HS256-first", b"HS256", b"RS256"), ("the-same", b"RS256", b"RS256"),
):  # fmt: skip
    CASES.refuse(f"H14:{name}", forge(head=_member(b'"alg":"' + first + b'","alg":"' + last + b'"')), Reason.MALFORMED)
    CASES.refuse(
        f"H14:{name}-escaped",
        forge(head=_member(b'"alg":"' + first + b'","\\u0061lg":"' + last + b'"')),
        Reason.MALFORMED,
    )
for name, twice in {
    "kid": b'"kid":"rs","kid":"ps"',
    "typ": b'"typ":"JWT","typ":"dpop+jwt"',
    "crit": b'"crit":["x"],"crit":[]',
}.items():
    CASES.refuse(f"H14:{name}-twice", forge(head=b'{"alg":"RS256",' + twice + b"}"), Reason.MALFORMED)

# C27: other kinds of JWT of the same issuer, and what is no media type at all.
for typ in (
    "dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt",
    "entity-statement+jwt", "client-authentication+jwt",
    "oauth-id-jag+jwt", "kb+jwt", "dc+sd-jwt", "vc+jwt", "statuslist+jwt", "openid4vci-proof+jwt",
            "txntoken+jwt", "id_token", "ID", "JWE", "JOSE", "JOSE+JSON", "jose",
    "at", "at+jw", "at+jwtt", "xat+jwt", "at jwt", "at+jwt ", " at+jwt", "\tJWT", "JWT\n", "JWT\0",
            "at%2Bjwt", "at-jwt", "AT_JWT",
    "application/", "APPLICATION/", "application", "/", "/jwt", "application/application/jwt",
    "application//jwt", "text/jwt", "x/at+jwt",
    "application/dpop+jwt", "application/at+jwt; charset=utf-8", "at+jwt;v=1", "application /jwt",
            "applicatio\u0274/jwt",
    "\uff2a\uff37\uff34", "JW\u0422", "at+\u0458wt", "\u0430t+jwt", "at+jwt\u200b", "jwt\u0307", "*", "*/*",
            "null", "none", "JWT,at+jwt", "j" * 8000):  # fmt: skip
    CASES.refuse(f"H16:{ascii(typ)[1:-1][:36]}-{len(typ)}", forge(head=header(typ=typ)), Reason.WRONG_TYPE)
for name, odd in values(
    {
        "empty": "",
        "null": None,
        "number": 1,
        "true": True,
        "list": ["JWT"],
        "object": {"JWT": 1},
        "zero": 0,
        "false": False,
        "empty-list": [],
    }
).items():
    CASES.refuse(f"H16:{name}", forge(head=header(typ=odd)), Reason.WRONG_TYPE)
for typ in ("JWT", "jwt", "application/jwt", DROP, "", "application/", "at", "at+jwt+x", "dpop+jwt"):
    name = "absent" if typ is DROP else typ or "empty"
    CASES.refuse(f"H16:{name}-rfc9068", forge(rfc9068_claims(), header(typ=typ)), Reason.WRONG_TYPE, "rfc9068")
