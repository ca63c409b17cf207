"""F: three non-empty segments of canonical base64url, and nothing else at all."""

from __future__ import annotations

import json

from tests.corpus.case import Cases, members, values
from tests.forge import as_bytes, b64, claims, forge, header, of_size, sign_text
from tokenguard import Reason

MALFORMED, TOO_LARGE = Reason.MALFORMED, Reason.TOO_LARGE

CASES = Cases()


def table(tokens: dict[str, str | bytes]) -> dict[str, str | bytes]:
    return tokens


GOOD = forge()
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

for name, text in table(
    {
        "empty": "",
        "empty-bytes": b"",
        "one-dot": ".",
        "two-dots": "..",
        "three-dots": "...",
        "a.b.c": "a.b.c",
        "null": "null",
        "object": "{}",
        "zero": "0",
        "space": " ",
        "nul": "\0",
        "opaque": "2YotnFZFEjr1zCsicMWpAA",
        "json-segments": f"{json.dumps(header())}.{json.dumps(claims())}.{SIGNATURE}",
        "percent": "%00",
        "macaroon": "MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsv",
        "paseto": "v4.public.eyJzdWIiOiJ4In0.AAAA",
        "sd-jwt": f"{GOOD}~WyJzYWx0IiwgIm5hbWUiLCAxXQ~",
        "saml": "<saml:Assertion/>",
        "undefined": "undefined",
        "bytes-junk": bytes(range(256)),
        "bytes-high": b"\xff\xfe\xfd.\x80.\x81",
    }
).items():
    CASES.refuse(f"F01:{name}", text, MALFORMED)
CASES.refuse("F01:four-dots", "....", Reason.ENCRYPTED)

for alg in ("RS256", "ES256", "EdDSA", "PS256"):
    head, payload, signature = forge(by=alg).split(".")
    CASES.refuse(f"F02:no-signature-segment-{alg}", f"{head}.{payload}", MALFORMED)
    CASES.refuse(f"F02:empty-signature-{alg}", f"{head}.{payload}.", MALFORMED)
    CASES.refuse(f"F02:empty-payload-{alg}", f"{head}..{signature}", MALFORMED)
    CASES.refuse(f"F02:empty-header-{alg}", f".{payload}.{signature}", MALFORMED)
CASES.refuse("F02:header-alone", HEAD, MALFORMED)
CASES.refuse("F02:detached-and-signed", sign_text(f"{HEAD}."), MALFORMED)  # RFC 7515 appendix F
CASES.refuse("F02:payload-of-nothing-but-its-signature", sign_text(HEAD), MALFORMED)
for name, text in table(
    {
        "fourth": f"{GOOD}.AAAA",
        "fourth-is-the-signature": f"{GOOD}.{SIGNATURE}",
        "leading-dot": f".{GOOD}",
        "trailing-dot": f"{GOOD}.",
        "dot-doubled": GOOD.replace(".", "..", 1),
        "six": f"{GOOD}.{GOOD}",
        "seven": f"{GOOD}.{GOOD}.AAAA",
    }
).items():
    CASES.refuse(f"F03:{name}", text, MALFORMED)
CASES.refuse("F03:trailing-two-dots", f"{GOOD}..", Reason.ENCRYPTED)

# F04: five segments are a JWE (RFC 7516 s7.1), which is not configured anywhere.
_jwe: dict[str, object] = {"alg": "RSA-OAEP", "enc": "A256GCM"}
for name, params in members({
    "claims": _jwe, "jws-inside": {**_jwe, "cty": "JWT"}, "dir": {"alg": "dir", "enc": "A128GCM"},
    "bomb": {**_jwe, "zip": "DEF"},
    "pbes2": {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31},
    "good-header": header(),
}).items():  # fmt: skip
    CASES.refuse(f"F04:{name}", f"{b64(as_bytes(params))}.{b64(b'k' * 32)}.{b64(b'i' * 12)}.AAAA.{b64(b't' * 16)}",
                 Reason.ENCRYPTED)  # fmt: skip
CASES.refuse("F04:good-token-with-two-more", f"{GOOD}.AAAA.AAAA", Reason.ENCRYPTED)
CASES.refuse("F04:three-segments-with-enc", forge(head=header(enc="A128GCM")), Reason.UNSUPPORTED_HEADER)

_flat = {"protected": HEAD, "payload": PAYLOAD, "signature": SIGNATURE}
for name, document in values(
    {
        "flattened": _flat,
        "general": {"payload": PAYLOAD, "signatures": [{"protected": HEAD, "signature": SIGNATURE}]},
        "flattened-with-header": {**_flat, "header": {"kid": "rs"}},
        "list-of-one": [GOOD],
        "string": GOOD,
    }
).items():
    CASES.refuse(f"F07:{name}", json.dumps(document), MALFORMED)
    CASES.refuse(f"F07:{name}-encoded", b64(json.dumps(document).encode()), MALFORMED)

# F09, C26: white space is in no base64url text, wherever it stands.
SPACES = {"space": " ", "tab": "\t", "cr": "\r", "lf": "\n", "crlf": "\r\n", "nbsp": "\xa0", "nel": "\x85", "nul": "\0",
          "vt": "\v", "ff": "\f", "zwsp": "\u200b", "bom": "\ufeff", "ls": "\u2028", "ideographic": "\u3000",
          "del": "\x7f", "fs": "\x1c"}  # fmt: skip
for name, space in SPACES.items():
    CASES.refuse(f"F09:{name}-before", space + GOOD, MALFORMED)
    CASES.refuse(f"F09:{name}-after", GOOD + space, MALFORMED)
for name in ("space", "tab", "lf", "nul"):
    space = SPACES[name]
    for place, token in {
        "in-header": f"{HEAD[:8]}{space}{HEAD[8:]}.{PAYLOAD}.{SIGNATURE}",
        "before-first-dot": f"{HEAD}{space}.{PAYLOAD}.{SIGNATURE}",
        "after-first-dot": f"{HEAD}.{space}{PAYLOAD}.{SIGNATURE}",
        "in-payload": f"{HEAD}.{PAYLOAD[:8]}{space}{PAYLOAD[8:]}.{SIGNATURE}",
        "before-second-dot": f"{HEAD}.{PAYLOAD}{space}.{SIGNATURE}",
        "after-second-dot": f"{HEAD}.{PAYLOAD}.{space}{SIGNATURE}",
        "in-signature": f"{HEAD}.{PAYLOAD}.{SIGNATURE[:8]}{space}{SIGNATURE[8:]}",
    }.items():
        CASES.refuse(f"F09:{name}-{place}", token, MALFORMED)
    CASES.refuse(f"F09:{name}-signed-in-header", sign_text(f"{HEAD[:8]}{space}{HEAD[8:]}.{PAYLOAD}"), MALFORMED)
    CASES.refuse(f"F09:{name}-signed-in-payload", sign_text(f"{HEAD}.{PAYLOAD[:8]}{space}{PAYLOAD[8:]}"), MALFORMED)


def _segment(text: str, remainder: int) -> str:
    """Base64url of a JSON text, filled up so that its length is `remainder` modulo 4."""
    while len(encoded := b64(text.encode())) % 4 != remainder:
        text = text[:-1] + " }"
    return encoded


# F11: padding, where it belongs by RFC 4648 and where it does not, re-signed.
_head_text, _payload_text = json.dumps(header()), json.dumps(claims())
for remainder, padding in ((2, "=="), (3, "="), (0, "="), (0, "===="), (2, "="), (3, "==")):
    head, payload = _segment(_head_text, remainder), _segment(_payload_text, remainder)
    name = f"{remainder}-and-{len(padding)}"
    CASES.refuse(f"F11:header-{name}", sign_text(f"{head}{padding}.{PAYLOAD}"), MALFORMED)
    CASES.refuse(f"F11:payload-{name}", sign_text(f"{HEAD}.{payload}{padding}"), MALFORMED)
for padding in ("=", "==", "==="):
    CASES.refuse(f"F11:signature-{len(padding)}", GOOD + padding, MALFORMED)
CASES.refuse("F11:signature-escaped", f"{GOOD}%3D%3D", MALFORMED)
CASES.refuse("F11:padding-inside", f"{HEAD}.{PAYLOAD}.{SIGNATURE[:4]}={SIGNATURE[4:]}", MALFORMED)
CASES.refuse("F11:dots-of-mime", f"{HEAD}.{PAYLOAD}.{SIGNATURE}\r\n", MALFORMED)

# F12: '+' and '/' of the standard alphabet, for bytes that need them.
_TO_STANDARD = str.maketrans("-_", "+/")
_signature = next(text for i in range(64) if set("-_") & set(text := forge(claims(i=i)).rpartition(".")[2]))
CASES.refuse("F12:signature", f"{HEAD}.{PAYLOAD}.{_signature.translate(_TO_STANDARD)}", MALFORMED)
_odd_payload = next(
    text for i in range(64) if "_" in (text := b64(as_bytes(claims(data="x" * (i % 3) + "?>" + chr(0x7C0 + i)))))
)
CASES.refuse("F12:payload", sign_text(f"{HEAD}.{_odd_payload.translate(_TO_STANDARD)}"), MALFORMED)
_odd_head = next(text for i in range(64) if "_" in (text := b64(as_bytes(header(x="x" * (i % 3) + chr(0x7C0 + i))))))
CASES.refuse("F12:header", sign_text(f"{_odd_head.translate(_TO_STANDARD)}.{PAYLOAD}"), MALFORMED)
CASES.accept("F12:the-same-in-base64url", sign_text(f"{_odd_head}.{_odd_payload}"))

# F15: lenient decoders drop what they do not know.
for junk in ("!", "#", "%", "!!!!", "@@@@", "*", "~", "'", '"', "\\", ",", ":", "\xe9", "\u212a", "\uff21", "\ud800"):
    name = f"{ord(junk[0]):04x}-{len(junk)}"
    CASES.refuse(f"F15:signature-{name}", f"{HEAD}.{PAYLOAD}.{SIGNATURE[:10]}{junk}{SIGNATURE[10:]}", MALFORMED)
    CASES.refuse(f"F15:signature-end-{name}", GOOD + junk, MALFORMED)
    CASES.refuse(f"F15:payload-{name}", sign_text(f"{HEAD}.{PAYLOAD[:10]}{junk}{PAYLOAD[10:]}"), MALFORMED)
    CASES.refuse(f"F15:header-{name}", sign_text(f"{HEAD[:10]}{junk}{HEAD[10:]}.{PAYLOAD}"), MALFORMED)

# Trailing bits (RFC 4648 s3.5): all other spellings of the last character.
for remainder, step in ((2, 16), (3, 4)):
    for part, text in (("header", _head_text), ("payload", _payload_text)):
        segment = _segment(text, remainder)
        last = ALPHABET.index(segment[-1])
        assert last % step == 0
        for stray in {1, step // 2, step - 1}:
            respelt = segment[:-1] + ALPHABET[last + stray]
            signed = f"{respelt}.{PAYLOAD}" if part == "header" else f"{HEAD}.{respelt}"
            CASES.refuse(f"F:trailing-bits-{part}-{remainder}-{stray}", sign_text(signed), MALFORMED)
for alg in ("RS256", "PS256", "ES256", "EdDSA"):  # 256 and 64 bytes: the last character has four unused bits
    token = forge(by=alg)
    for stray in (1, 8, 15):
        respelt = token[:-1] + ALPHABET[ALPHABET.index(token[-1]) + stray]
        CASES.refuse(f"F:trailing-bits-signature-{alg}-{stray}", respelt, MALFORMED)

# One character left over encodes nothing: no text has a length of 1 modulo 4.
CASES.refuse("F:impossible-length-header", sign_text(f"{_segment(_head_text, 0)}A.{PAYLOAD}"), MALFORMED)
CASES.refuse("F:impossible-length-payload", sign_text(f"{HEAD}.{_segment(_payload_text, 0)}A"), MALFORMED)
for alg in ("RS256", "ES256", "EdDSA"):
    CASES.refuse(f"F:impossible-length-signature-{alg}", forge(by=alg) + "AAA", MALFORMED)
CASES.refuse("F:one-character-segments", "A.A.A", MALFORMED)

# F28, F30, F31, D08: size is looked at before anything else.
for name, text in table(
    {
        "16385-characters": of_size(16_385),
        "16385-bytes": of_size(16_385).encode(),
        "64-KiB-good": of_size(65_536),
        "nested-100000-claim": forge(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, by="none") + "AAAA",
        "nested-100000-list": forge(b"[" * 100_000, by="none") + "AAAA",
        "nested-100000-header": f"{b64(b'[' * 100_000)}.AAAA.AAAA",
        "1-MB-claims": forge(claims(pad="x" * 1_000_000)),
        "1-MB-header": forge(head=header(pad="x" * 1_000_000)),
        "1-MB-signature": f"{HEAD}.{PAYLOAD}.{'A' * 1_000_000}",
        "1-MB-non-ascii": "\xe9" * 1_000_000,
        "1-MB-lone-surrogates": "\ud800" * 1_000_000,
        "1-MB-spaces": GOOD + " " * 1_000_000,
        "200000-dots": "." * 200_000,
        "200000-dots-in-bytes": b"." * 200_000,
        "8-MB": b"A" * 8_000_000,
    }
).items():
    CASES.refuse(f"F30:{name}", text, TOO_LARGE)
CASES.refuse("F31:16384-dots", "." * 16_384, MALFORMED)
CASES.refuse("F31:dots-behind-a-token", GOOD + "." * 10_000, MALFORMED)
CASES.refuse("F31:dots-in-the-middle", GOOD.replace(".", "." * 8_000, 1), MALFORMED)

for name, text in table(
    {
        "double-quoted": f'"{GOOD}"',
        "single-quoted": f"'{GOOD}'",
        "bearer": f"Bearer {GOOD}",
        "bearer-lower": f"bearer {GOOD}",
        "dots-escaped": GOOD.replace(".", "%2E"),
        "first-dot-escaped": GOOD.replace(".", "%2e", 1),
        "semicolon": f"{GOOD};",
        "parameter": f"{GOOD}; charset=utf-8",
        "angle": f"<{GOOD}>",
        "query": f"access_token={GOOD}",
        "base64-again": b64(GOOD.encode()),
        "utf-16": GOOD.encode("utf-16"),
        "utf-16-le": GOOD.encode("utf-16-le"),
        "utf-32": GOOD.encode("utf-32"),
        "utf-8-bom": b"\xef\xbb\xbf" + GOOD.encode(),
        "fullwidth-dots": GOOD.replace(".", "\uff0e"),
        "one-dot-leaders": GOOD.replace(".", "\u2024"),
        "cyrillic-e": GOOD.replace("e", "\u0435", 1),
        "lone-surrogate": GOOD + "\udcff",
        "reversed": GOOD[::-1],
        "hex": GOOD.encode().hex(),
    }
).items():
    CASES.refuse(f"F35:{name}", text, MALFORMED)

# Two tokens of three segments make five: that is what a JWE has, and so the log says.
for name, between in (("comma", ","), ("comma-space", ", "), ("space", " "), ("nothing", "")):
    CASES.refuse(f"F35:two-tokens-and-{name}", f"{GOOD}{between}{GOOD}", Reason.ENCRYPTED)

# F37: b64 belongs to RFC 7797, whose abstract bans it from JWTs; crit names what must be understood.
for name, params in members({
    "false": {"b64": False}, "true": {"b64": True}, "null": {"b64": None}, "zero": {"b64": 0},
    "false-crit": {"b64": False, "crit": ["b64"]}, "true-crit": {"b64": True, "crit": ["b64"]},
    "only-crit": {"crit": ["b64"]},
}).items():  # fmt: skip
    CASES.refuse(f"F37:{name}", forge(head=header(**params)), Reason.UNSUPPORTED_HEADER)
_unencoded = b64(as_bytes(header(b64=False, crit=["b64"])))
_raw_claims = json.dumps(claims(iss="https://as", aud="urn:api"))
CASES.refuse("F37:payload-not-encoded", sign_text(f"{_unencoded}.{_raw_claims}"), Reason.UNSUPPORTED_HEADER)
CASES.refuse("F37:detached", sign_text(f"{_unencoded}."), Reason.UNSUPPORTED_HEADER)
CASES.refuse(
    "F37:detached-signed-apart",
    f"{_unencoded}..{sign_text(f'{_unencoded}.{_raw_claims}').rpartition('.')[2]}",
    Reason.UNSUPPORTED_HEADER,
)
CASES.refuse("F37:escaped-name", forge(head=as_bytes(header())[:-1] + b',"\\u0062\\u0036\\u0034":false}'),
             Reason.UNSUPPORTED_HEADER)  # fmt: skip
