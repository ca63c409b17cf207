"""C: exp, nbf and iat are numbers, and now is between them."""

from __future__ import annotations

import json

from tests.corpus.case import Cases
from tests.forge import DROP, NOW, as_bytes, claims, forge
from tokenguard import Reason

CASES = Cases()
_MALFORMED, _EXPIRED = Reason.MALFORMED_CLAIM, Reason.EXPIRED

# C01, C15: leeway is 60 s, and exp itself is already too late.
for name, exp in {
    "just-outside": NOW - 60, "a-second-outside": NOW - 61, "a-fraction-outside": NOW - 60.5, "an-hour": NOW - 3600,
    "zero": 0, "one": 1,
    "negative": -1, "minus-now": -NOW, "minus-zero": -0.0, "fraction": 0.5, "minus-1e300": -1e300,
    "minus-300-digits": -(10**299),
}.items():  # fmt: skip
    CASES.refuse(f"C01:{name}", forge(claims(exp=exp)), _EXPIRED)
CASES.refuse("C01:now-without-leeway", forge(claims(exp=NOW)), _EXPIRED, "no leeway")
CASES.refuse("C01:a-millisecond-ago-without-leeway", forge(claims(exp=NOW - 0.001)), _EXPIRED, "no leeway")
CASES.refuse(
    "C01:least-of-all-doubles", forge(as_bytes(claims(exp=DROP))[:-1] + b',"exp":-1.7976931348623157e308}'), _EXPIRED
)
CASES.refuse(
    "C01:309-digits-that-round-to-the-least",
    forge(as_bytes(claims(exp=DROP))[:-1] + b',"exp":-17976931348623157' + b"0" * 292 + b"}"),
    _EXPIRED,
)
CASES.refuse("C01:good-until-nbf", forge(claims(exp=NOW - 100, nbf=NOW - 200)), _EXPIRED)

CASES.refuse("C02:missing", forge(claims(exp=DROP)), Reason.MISSING_CLAIM)
CASES.refuse("C02:missing-and-expires-in", forge(claims(exp=DROP, expires_in=3600)), Reason.MISSING_CLAIM)
CASES.refuse("C02:missing-and-cased", forge(claims(exp=DROP, EXP=NOW + 600, Exp=NOW + 600)), Reason.MISSING_CLAIM)
CASES.refuse("C02:nested", forge(claims(exp=DROP, claims={"exp": NOW + 600})), Reason.MISSING_CLAIM)
CASES.refuse("C02:null", forge(claims(exp=None)), _MALFORMED)

# C03, C04, C08: exactly a number. What looks like one to int() or float() is none, and null is not absent.
ODD: dict[str, object] = {
    "digits": str(NOW + 600), "float-text": f"{NOW}.5", "iso": "2030-01-01T00:00:00Z", "spaces": f" {NOW + 600} ",
    "underscores": "1_900_000_000", "arabic": "\u0661\u0669" * 5,
    "nan-text": "nan", "inf-text": "Infinity", "exponent-text": "1.9e9", "hex-text": "0x7fffffff",
    "plus-text": f"+{NOW}", "empty": "", "word": "never", "list": [NOW + 600],
    "empty-list": [], "object": {"value": NOW + 600}, "extended-json": {"$numberLong": str(NOW + 600)}, "true": True,
    "false": False, "rfc-1123": "Tue, 01 Jan 2030 00:00:00 GMT",
}  # fmt: skip
for claim in ("exp", "nbf", "iat"):
    for name, value in ODD.items():
        case = "C08" if claim != "exp" else "C03" if isinstance(value, str) else "C04"
        CASES.refuse(f"{case}:{claim}-{name}", forge(claims(**{claim: value})), _MALFORMED)
    if claim != "exp":
        CASES.refuse(f"C08:{claim}-null", forge(claims(**{claim: None})), _MALFORMED)
    # C05: no number at all, or none that anything can compute with.
    for literal in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1" + "0" * 400,
        "9" * 5000,
        "01900000000",
        "+1900000000",
        "1900000000.",
        "0x7fffffff",
    ):
        text = json.dumps(claims(**{claim: DROP}))[:-1] + f', "{claim}": {literal}}}'
        CASES.refuse(f"C05:{claim}-{literal[:12]}-{len(literal)}", forge(text), Reason.MALFORMED)
    # Beyond the year 9999: someone counts in milliseconds.
    for name, value in {
        "milliseconds": (NOW + 600) * 1000, "microseconds": NOW * 10**6, "nanoseconds": NOW * 10**9,
        "year-10000": 253402300800,
        "a-fraction-beyond": 253402300799.5, "1e300": 1e300, "300-digits": 10**299, "2-to-64": 2**64,
        "milliseconds-float": NOW * 1000.5,
    }.items():  # fmt: skip
        CASES.refuse(f"C05:{claim}-{name}", forge(claims(**{claim: value})), Reason.TIME_IN_MILLISECONDS)

# C07: nbf and iat at most the leeway ahead.
for claim, reason in (("nbf", Reason.NOT_YET_VALID), ("iat", Reason.ISSUED_IN_FUTURE)):
    for name, ahead in {
        "just-outside": 61,
        "a-fraction-outside": 60.001,
        "a-minute-more": 120,
        "a-year": 365 * 86400,
    }.items():
        CASES.refuse(f"C07:{claim}-{name}", forge(claims(**{claim: NOW + ahead, "exp": NOW + 10**9})), reason)
    CASES.refuse(f"C07:{claim}-no-leeway", forge(claims(**{claim: NOW + 1})), reason, "no leeway")
    CASES.refuse(f"C07:{claim}-year-9999", forge(claims(**{claim: 253402300799})), reason)
CASES.refuse("C07:nbf-after-exp", forge(claims(nbf=NOW + 100, exp=NOW + 50)), Reason.NOT_YET_VALID)

# max_token_age
_OLD = "at most an hour old"
CASES.refuse("C:age-just-outside", forge(claims(iat=NOW - 3661)), Reason.TOO_OLD, _OLD)
CASES.refuse("C:age-a-fraction-outside", forge(claims(iat=NOW - 3660.5)), Reason.TOO_OLD, _OLD)
CASES.refuse("C:age-of-ages", forge(claims(iat=-1e300)), Reason.TOO_OLD, _OLD)
CASES.refuse("C:age-without-iat", forge(claims(iat=DROP)), Reason.MISSING_CLAIM, _OLD)
CASES.refuse("C:age-null", forge(claims(iat=None)), _MALFORMED, _OLD)
