"""F: header and payload are strict JSON objects in UTF-8, so that no two readers read them differently."""

from __future__ import annotations

import codecs
import json

from tests.corpus.case import Cases
from tests.forge import AUDIENCE, DROP, ISSUER, NOW, as_bytes, claims, forge, header
from tokenguard import Reason

MALFORMED = Reason.MALFORMED

CASES = Cases()
CLAIMS, HEADER = as_bytes(claims()), as_bytes(header())


def with_members(text: bytes, members: bytes) -> bytes:
    return text[:-1] + b"," + members + b"}"


def refuse(id: str, payload: bytes, head: bytes) -> None:
    CASES.refuse(f"{id}-in-payload", forge(payload), MALFORMED)
    CASES.refuse(f"{id}-in-header", forge(head=head), MALFORMED)


def refuse_members(id: str, members: bytes) -> None:
    refuse(id, with_members(CLAIMS, members), with_members(HEADER, members))


def accept_members(id: str, members: bytes) -> None:
    CASES.accept(f"{id}-in-payload", forge(with_members(CLAIMS, members)))
    CASES.accept(f"{id}-in-header", forge(head=with_members(HEADER, members)))


# F19: not UTF-8 (RFC 7519 s7.2), in values, in names, and between tokens.
for name, octets in {
    "latin-1": b"\xe9",
    "lone-continuation": b"\x80",
    "truncated": b"\xe2\x82",
    "overlong-slash": b"\xc0\xaf",
    "overlong-nul": b"\xc0\x80",
    "overlong-three": b"\xe0\x80\xaf",
    "raw-high-surrogate": b"\xed\xa0\x80",
    "raw-low-surrogate": b"\xed\xb0\x80",
    "cesu-8-pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond-unicode": b"\xf4\x90\x80\x80",
    "five-bytes": b"\xf8\x88\x80\x80\x80",
    "ff": b"\xff",
}.items():
    refuse_members(f"F19:{name}-value", b'"x":"' + octets + b'"')
    refuse_members(f"F19:{name}-name", b'"x' + octets + b'":1')
refuse("F19:outside-of-strings", CLAIMS[:-1] + b"\xff}", HEADER[:-1] + b"\xff}")
for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp037"):
    refuse(f"F19:{encoding}", json.dumps(claims()).encode(encoding), json.dumps(header()).encode(encoding))
refuse("F19:utf-8-bom", codecs.BOM_UTF8 + CLAIMS, codecs.BOM_UTF8 + HEADER)
refuse("F19:bom-at-the-end", CLAIMS + codecs.BOM_UTF8, HEADER + codecs.BOM_UTF8)

for name, text in {
    "array": b"[]", "array-of-object": b"[" + CLAIMS + b"]", "string": b'"x"', "number": b"1", "null": b"null",
    "true": b"true", "space": b" ", "nothing-but-a-brace": b"{",
    "string-of-object": json.dumps(CLAIMS.decode()).encode(),
    "two-objects": CLAIMS + CLAIMS, "object-and-comma": CLAIMS + b",", "garbage": b"\x00\x01\x02\x03",
    "nul-behind": CLAIMS + b"\0",
    "brace-behind": CLAIMS + b"}", "newline-and-object": CLAIMS + b"\n" + CLAIMS,
}.items():  # fmt: skip
    CASES.refuse(f"F23:payload-{name}", forge(text), MALFORMED)
CASES.refuse("F23:payload-empty-object", forge(b"{}"), Reason.WRONG_ISSUER)
CASES.refuse("F23:payload-empty", forge(b""), MALFORMED)

# F25: Python's json reads these; RFC 8259 s6 does not know them.
for literal in (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"nan",
    b"inf",
    b"-NaN",
    b"+Infinity",
    b"undefined",
    b"None",
    b"True",
):
    refuse_members(f"F25:{literal.decode()}", b'"x":' + literal)
refuse_members("F25:NaN-nested", b'"x":{"y":[1,{"z":NaN}]}')

# F26: a name twice. Whoever reads the first sees another token than whoever reads the last.
for name, good, bad in (
    ("iss", json.dumps(ISSUER), '"https://evil.example"'),
    ("aud", json.dumps(AUDIENCE), '"https://other.example"'),
    ("exp", str(NOW + 600), "1"),
    ("nbf", "1", str(NOW + 10_000)),
    ("sub", '"user-1"', '"admin"'),
    ("scope", '"read"', '"admin"'),
):
    base = as_bytes(claims(**{name: DROP}))
    for order, first, last in (("bad-last", good, bad), ("bad-first", bad, good), ("the-same", good, good)):
        members = f'"{name}":{first},"{name}":{last}'.encode()
        CASES.refuse(f"F26:{name}-{order}", forge(with_members(base, members)), MALFORMED)
    escaped = f'"{name}":{good},"\\u{ord(name[0]):04x}{name[1:]}":{bad}'.encode()
    CASES.refuse(f"F26:{name}-escaped", forge(with_members(base, escaped)), MALFORMED)
    apart = f'"\\u{ord(name[0]):04X}{name[1:]}":{bad},"x":1,"{name}":{good}'.encode()
    CASES.refuse(f"F26:{name}-escaped-first", forge(with_members(base, apart)), MALFORMED)
refuse_members("F26:nested", b'"x":{"y":1,"y":1}')
refuse_members("F26:nested-in-list", b'"x":[[{"a":{"y":1,"z":2,"y":3}}]]')
refuse_members("F26:nested-escaped", b'"x":{"/":1,"\\/":2}')
refuse_members("F26:empty-name", b'"":1,"":1')
refuse_members("F26:surrogate-pair-and-raw", b'"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":1')
accept_members("F26:alike-but-not-the-same", '"é":1,"e\u0301":2,"x":{"x":{"x":1}},"X":3,"x ":4'.encode())

# Lone surrogates: no characters, and no UTF-8 can hold them.
for name, text in {
    "high": b"\\ud800", "low": b"\\udc00", "high-at-end": b"abc\\udbff", "reversed-pair": b"\\udc00\\ud800",
    "high-high-low": b"\\ud800\\ud83d\\ude00", "upper-case": b"\\uD800", "before-letter": b"\\ud83dx",
    "escaped-backslash-then": b"\\\\\\ud800",
}.items():  # fmt: skip
    refuse_members(f"F:surrogate-{name}-value", b'"x":"' + text + b'"')
refuse_members("F:surrogate-name", b'"\\ud800":1')
refuse_members("F:surrogate-nested-name", b'"x":[{"\\udfff":1}]')
accept_members("F:surrogate-pair", b'"x":"\\ud83d\\ude00 \\uD83D\\uDE00"')
accept_members("F:escaped-backslash-and-u", b'"x":"\\\\ud800 \\\\udc00"')
accept_members("F:all-escapes", b'"x":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\\u007F\\uFFFF"')

# Numbers: only finite doubles (RFC 8259 s6), however they are spelt.
for name, number in {
    "1e400": b"1e400", "minus-1e400": b"-1E+400", "1e999999999": b"1e999999999",
    "exponent-of-500-digits": b"1e" + b"9" * 500,
    "309-digits": b"1" + b"0" * 309, "4301-digits": b"9" * 4301, "10000-digits": b"1" * 10_000,
    "minus-5000-digits": b"-" + b"7" * 5000, "above-the-greatest-double": b"1.7976931348623159e308",
    "216-digits-e99": b"1" + b"0" * 215 + b"e99", "minus-290-digits-e20": b"-" + b"9" * 290 + b"E+20",
    "long-fraction-and-exponent": b"0." + b"1" * 500 + b"e900",
    "plus": b"+1", "leading-zero": b"01", "minus-leading-zero": b"-01", "no-fraction": b"1.", "no-integer": b".5",
    "hex": b"0x10",
    "octal": b"0o7", "underscore": b"1_000", "two-signs": b"--1", "minus-alone": b"-", "exponent-alone": b"1e",
    "comma": b"1,5",
    "arabic-digits": "\u0661\u0662".encode(), "fullwidth-digits": "\uff11".encode(), "superscript": "2\u00b2".encode(),
    "suffix-l": b"1L", "suffix-f": b"1f", "imaginary": b"1j", "space-inside": b"1 0", "minus-space": b"- 1",
}.items():  # fmt: skip
    refuse_members(f"F:number-{name}", b'"x":' + number)
for name, number in {
    "greatest-double": b"1.7976931348623157e308", "300-digits": b"9" * 300, "308-digits": b"1" + b"0" * 308,
    "200-digits-e99": b"9" * 200 + b"e99", "299-digits-e9": b"1" + b"0" * 298 + b"e9",
    "least-double": b"5e-324", "underflow": b"1e-400", "minus-zero": b"-0", "minus-zero-float": b"-0.0",
    "zero-exponent": b"0E0",
    "2-to-53-plus-1": b"9007199254740993", "5000-digits-of-fraction": b"0." + b"3" * 5000,
    "2-to-64": b"18446744073709551616",
    "zeros-and-exponent": b"0.0000e-99999999", "signed-exponent": b"1e+05",
}.items():  # fmt: skip
    accept_members(f"F:number-{name}", b'"x":' + number)

# JavaScript, JSON5 and other near misses.
for name, members in {
    "trailing-comma": b'"x":1,', "two-commas": b'"x":1,,"y":2', "no-comma": b'"x":1 "y":2', "semicolon": b'"x":1;"y":2',
    "single-quotes": b"'x':1", "single-quoted-value": b"\"x\":'y'", "bare-name": b"x:1", "number-as-name": b"1:1",
    "null-as-name": b"null:1",
    "equals": b'"x"=1', "no-value": b'"x":', "no-colon": b'"x"', "line-comment": b'"x":1//c\n',
    "block-comment": b'"x":/*c*/1', "hash-comment": b'"x":1#c\n',
    "trailing-comma-in-list": b'"x":[1,]', "hole-in-list": b'"x":[1,,2]', "unclosed-list": b'"x":[1',
    "unclosed-string": b'"x":"y',
    "mismatched": b'"x":[1}', "concatenated-strings": b'"x":"a" "b"', "backtick": b'"x":`a`', "True": b'"x":TRUE',
    "nul": b'"x":nul', "nulll": b'"x":nulll',
}.items():  # fmt: skip
    refuse_members(f"F:json-{name}", members)
for name, text in {
    "control-nul": b"\x00", "control-tab": b"\t", "control-lf": b"\n", "control-cr": b"\r", "control-esc": b"\x1b",
    "control-1f": b"\x1f",
    "escape-x": b"\\x41", "escape-quote": b"\\'", "escape-a": b"\\a", "escape-octal": b"\\101", "escape-end": b"\\",
    "escape-u-short": b"\\u12",
    "escape-u-sign": b"\\u+041", "escape-u-space": b"\\u 041", "escape-u-underscore": b"\\u0_41",
    "escape-u-braces": b"\\u{41}", "escape-upper-u": b"\\U00000041",
    "escape-u-fullwidth": "\\u\uff10\uff10\uff14\uff11".encode(), "escape-line": b"\\\n",
}.items():  # fmt: skip
    refuse_members(f"F:json-string-{name}", b'"x":"' + text + b'"')
for name, space in {
    "nbsp": "\xa0",
    "vt": "\v",
    "ff": "\f",
    "nul": "\0",
    "nel": "\x85",
    "zwsp": "\u200b",
    "ls": "\u2028",
    "bom": "\ufeff",
    "del": "\x7f",
}.items():
    text = space.encode()
    refuse(f"F:json-space-{name}-before", text + CLAIMS, text + HEADER)
    refuse(f"F:json-space-{name}-behind", CLAIMS + text, HEADER + text)
    refuse_members(f"F:json-space-{name}-inside", b'"x":' + text + b"1")
_SPACES = b" \t\r\n"
CASES.accept("F:json-all-white-space", forge(_SPACES + json.dumps(claims(), indent="\t\r\n ").encode() + _SPACES))
CASES.accept("F:json-white-space-in-header", forge(head=_SPACES + json.dumps(header(), indent=4).encode() + _SPACES))
CASES.accept(
    "F:json-escaped-names",
    forge(b"".join((CLAIMS.replace(b'"iss"', b'"\\u0069\\u0073\\u0073"').replace(b'"aud"', b'"a\\u0075d"'),))),
)
CASES.accept("F:json-escaped-alg", forge(head=b'{"\\u0061lg":"RS\\u00325\\u0036","k\\u0069d":"r\\u0073"}'))


# Nested at most 32 deep, the object itself counted; brackets in strings are no nesting.
def nest(levels: int, opening: bytes, core: bytes, closing: bytes) -> bytes:
    return b'"x":' + opening * levels + core + closing * levels


for name, opening, core, closing in (
    ("lists", b"[", b"", b"]"),
    ("objects", b'{"a":', b"1", b"}"),
    ("spaced-lists", b" [ ", b"1", b" ] "),
):
    accept_members(f"F28:{name}-32-deep", nest(31, opening, core, closing))
    refuse_members(f"F28:{name}-33-deep", nest(32, opening, core, closing))
    refuse_members(f"F28:{name}-1000-deep", nest(1000, opening, core, closing))
accept_members("F28:wide-not-deep", b'"x":[' + b"[],{}," * 500 + b"[]]")
accept_members("F28:brackets-in-a-string", b'"x":"' + b"[{" * 500 + b'"')
accept_members("F28:brackets-and-quotes-in-a-string", b'"x":"' + b'\\"[{' * 500 + b'"')
accept_members("F28:brackets-behind-backslashes", b'"x":"\\\\","y":["' + b"[" * 100 + b'\\\\"]')
accept_members("F28:brackets-in-a-name", b'"' + b"[" * 100 + b'":"' + b"]" * 100 + b'"')
refuse_members("F28:deep-behind-a-string-with-brackets", b'"y":"]]]]\\\\",' + nest(33, b"[", b"", b"]"))
refuse_members("F28:deep-after-closing-a-lot", b'"y":[' + b"[]," * 40 + b"[]]," + nest(33, b"[", b"", b"]"))
refuse_members("F28:never-closed", b'"x":' + b"[" * 5000)
refuse_members("F28:objects-never-closed", b'"x":' + b'{"a":' * 1800)
refuse_members("F28:closed-too-often", b'"x":1' + b"]" * 5000)
refuse_members("F28:quotes-and-brackets", b'"x":' + b'["' * 3000)
refuse_members("F28:backslashes", b'"x":"' + b"\\" * 9001)
CASES.refuse("F28:payload-of-brackets", forge(b"[" * 11_000), MALFORMED)
CASES.refuse("F28:header-of-brackets", forge(head=b"[" * 11_000), MALFORMED)
CASES.refuse("F28:payload-of-braces", forge(b'{"":' * 2_700), MALFORMED)
CASES.refuse("F28:unsigned-and-nested", forge(b'{"a":' * 2_000 + b"1" + b"}" * 2_000, by="none") + "AAAA", MALFORMED)
