"""S: the signature holds over exactly these bytes, by exactly that key, or nothing does."""

from __future__ import annotations

from base64 import urlsafe_b64decode

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.corpus.case import Cases
from tests.forge import (
    ALGORITHMS,
    ED25519_ORDER,
    P256,
    P256_ORDER,
    RSA,
    RSA_PSS,
    SIGNERS,
    as_bytes,
    b64,
    claims,
    der_signer,
    forge,
    header,
    sign_text,
)
from tokenguard import Reason

CASES = Cases()
_BAD = Reason.BAD_SIGNATURE


def _bad(id: str, signed: str, signature: bytes) -> None:
    CASES.refuse(id, f"{signed}.{b64(signature)}", _BAD)


GOOD = {alg: forge(by=alg) for alg in ALGORITHMS}
SIGNED = {alg: token.rpartition(".")[0] for alg, token in GOOD.items()}
RAW = {alg: urlsafe_b64decode(token.rpartition(".")[2] + "==") for alg, token in GOOD.items()}

for alg, raw in RAW.items():
    signed, size = SIGNED[alg], len(raw)
    for at in (0, 1, size // 2 - 1, size // 2, size - 2, size - 1):
        for bit in (0x01, 0x80):
            flipped = bytearray(raw)
            flipped[at] ^= bit
            _bad(f"S01:{alg}-flip-{at}-{bit:02x}", signed, bytes(flipped))
    for name, octets in {
        "zeros": bytes(size), "ones": b"\xff" * size, "one-octet": raw[:1], "half": raw[: size // 2],
        "other-half": raw[size // 2 :], "without-last": raw[:-1],
        "without-first": raw[1:], "zero-behind": raw + b"\0", "zero-before": b"\0" + raw, "twice": raw * 2,
        "reversed": raw[::-1], "halves-swapped": raw[size // 2 :] + raw[: size // 2],
        "one-octet-more": raw + raw[-1:], "a-zero-octet": b"\0", "the-number-one": (1).to_bytes(size),
        "7000-octets": raw + b"\xaa" * 7000,
    }.items():  # fmt: skip
        _bad(f"S01:{alg}-{name}", signed, octets)
for alg, key in (("RS256", RSA), ("PS256", RSA_PSS)):
    n = key.public_key().public_numbers().n
    for name, number in {
        "n": n,
        "n-minus-1": n - 1,
        "n-plus-1": n + 1,
        "n-minus-s": n - int.from_bytes(RAW[alg]),
    }.items():
        _bad(f"S01:{alg}-{name}", SIGNED[alg], number.to_bytes(256))
    _bad(f"S01:{alg}-s-plus-n", SIGNED[alg], (int.from_bytes(RAW[alg]) + n).to_bytes(257))
_r, _s = RAW["EdDSA"][:32], int.from_bytes(RAW["EdDSA"][32:], "little")
# RFC 8032 s5.1.7: S is below the group's order, or the signature could be respelt; CVE-2020-36843 and its kin.
for name, octets in {
    "s-plus-order": _r + (_s + ED25519_ORDER).to_bytes(32, "little"),
    "s-is-the-order": _r + ED25519_ORDER.to_bytes(32, "little"), "s-zero": _r + bytes(32),
    "r-identity-s-zero": (1).to_bytes(32, "little") + bytes(32),
    "r-not-canonical": b"\xee" + b"\xff" * 30 + b"\x7f" + bytes(32),
    "r-sign-bit": _r[:-1] + bytes([_r[-1] ^ 0x80]) + _s.to_bytes(32, "little"),
    "s-high-bits": _r + (_s | 7 << 253).to_bytes(32, "little"),
}.items():  # fmt: skip
    _bad(f"S01:EdDSA-{name}", SIGNED["EdDSA"], octets)

# S03: what was signed for something else.
for alg in ALGORITHMS:
    head, _, signature = GOOD[alg].split(".")
    CASES.refuse(f"S03:{alg}-payload-swapped", f"{head}.{b64(as_bytes(claims(sub='admin')))}.{signature}", _BAD)
    CASES.refuse(
        f"S03:{alg}-header-swapped", f"{b64(as_bytes(header(alg, x=1)))}.{GOOD[alg].split('.')[1]}.{signature}", _BAD
    )
    CASES.refuse(
        f"S03:{alg}-signature-of-another-token",
        f"{SIGNED[alg]}.{forge(claims(sub='x'), by=alg).rpartition('.')[2]}",
        _BAD,
    )
    CASES.refuse(
        f"S03:{alg}-member-order", f"{head}.{b64(as_bytes(dict(reversed(claims().items()))))}.{signature}", _BAD
    )
    CASES.refuse(f"S04:{alg}", forge(by=f"evil {alg}", head=header(alg)), _BAD)
    CASES.refuse(f"S04:{alg}-no-kid", forge(by=f"evil {alg}", head={"alg": alg}), _BAD)

CASES.refuse("S05:der", forge(head=header("ES256"), by=der_signer(P256)), _BAD)
_er, _es = int.from_bytes(RAW["ES256"][:32]), int.from_bytes(RAW["ES256"][32:])
_bad("S05:der-of-the-same-numbers", SIGNED["ES256"], encode_dss_signature(_er, _es))
_bad("S05:numbers-of-33-octets", SIGNED["ES256"], _er.to_bytes(33) + _es.to_bytes(33))
_bad("S05:numbers-of-66-octets", SIGNED["ES256"], _er.to_bytes(66) + _es.to_bytes(66))
_bad("S05:little-endian", SIGNED["ES256"], _er.to_bytes(32, "little") + _es.to_bytes(32, "little"))
_bad("S05:point-prefix", SIGNED["ES256"], b"\x04" + RAW["ES256"])
_bad("S05:s-first", SIGNED["ES256"], RAW["ES256"][32:] + RAW["ES256"][:32])

# S06 (CVE-2022-21449, "psychic signatures"): r and s are from 1 to n - 1.
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_EDGES = {"0": 0, "1": 1, "n-1": P256_ORDER - 1, "n": P256_ORDER, "n+1": P256_ORDER + 1, "p": _P, "max": 2**256 - 1}
for r_name, r in _EDGES.items():
    for s_name, s in _EDGES.items():
        _bad(f"S06:{r_name}-{s_name}", SIGNED["ES256"], r.to_bytes(32) + s.to_bytes(32))
for name, r, s in (
    ("r-and-0", _er, 0), ("r-and-n", _er, P256_ORDER), ("0-and-s", 0, _es), ("n-and-s", P256_ORDER, _es),
    ("r-and-r", _er, _er), ("minus-r-and-s", P256_ORDER - _er, _es),
):  # fmt: skip
    _bad(f"S06:{name}", SIGNED["ES256"], r.to_bytes(32) + s.to_bytes(32))

# S11: the good key over something close to what it should have signed.
for alg in ALGORITHMS:
    head, payload, _ = GOOD[alg].split(".")
    for name, text in {
        "payload-alone": payload, "header-alone": head, "no-dot": head + payload, "dot-behind": f"{head}.{payload}.",
        "decoded": f"{header(alg)}.{claims()}",
        "with-padding": f"{head}==.{payload}==", "swapped": f"{payload}.{head}", "lower-case": SIGNED[alg].lower(),
        "newline-behind": f"{SIGNED[alg]}\n", "empty": "",
        "decoded-octets": (as_bytes(header(alg)) + b"." + as_bytes(claims())).decode(),
        "b64-false": f"{head}.{as_bytes(claims()).decode()}",
    }.items():  # fmt: skip
        _bad(f"S11:{alg}-{name}", SIGNED[alg], SIGNERS[alg](text.encode()))
    CASES.accept(f"S11:{alg}-the-right-bytes", sign_text(SIGNED[alg], alg))
