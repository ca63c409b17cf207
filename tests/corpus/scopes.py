"""C: scopes are what RFC 6749 s3.3 says, or the token is refused; nothing is granted by a lenient split."""

from __future__ import annotations

from tests.corpus.case import Cases
from tests.forge import claims, forge
from tokenguard import Reason

CASES = Cases()
_MALFORMED = Reason.MALFORMED_CLAIM

# C27: of the wrong type. A malformed scope is not an absent one.
ODD: dict[str, object] = {
    "number": 1, "zero": 0, "true": True, "false": False, "null": None, "object": {"read": True}, "empty-object": {},
    "nested-list": [["read"]], "list-with-null": ["read", None],
    "list-with-number": ["read", 7], "list-with-object": ["read", {}], "list-with-true": [True],
    "list-with-empty": ["read", ""], "list-with-spaces": ["read write"], "float": 1.5,
}  # fmt: skip
# C25: characters that no scope has. str.split() would part most of these.
TEXTS = {
    "tab": "read\twrite", "newline": "read\nwrite", "cr": "read\rwrite", "vt": "read\vwrite", "ff": "read\fwrite",
    "nbsp": "read\xa0write", "nel": "read\x85write", "fs": "read\x1cwrite",
    "ls": "read\u2028write", "ideographic-space": "read\u3000write", "em-space": "read\u2003write",
    "zwsp": "read\u200bwrite", "bom": "\ufeffread", "nul": "read\0", "quote": 'read "write"',
    "backslash": "read\\write", "del": "read\x7f", "umlaut": "l\xe4sen", "emoji": "read \U0001f600",
    "esc": "read\x1b[0m", "fullwidth": "\uff52ead", "trailing-newline": "read write\n",
}  # fmt: skip
for claim in ("scope", "scp"):
    for name, odd in ODD.items():
        CASES.refuse(f"C27:{claim}-{name}", forge(claims(**{claim: odd})), _MALFORMED)
    for name, text in TEXTS.items():
        CASES.refuse(f"C25:{claim}-{name}", forge(claims(**{claim: text})), _MALFORMED)
        CASES.refuse(f"C25:{claim}-list-{name}", forge(claims(**{claim: ["read", text]})), _MALFORMED)

for name, scope, scp in (
    ("one-more", "read", ["read", "write"]),
    ("one-less", "read write", ["read"]),
    ("case", "read", ["Read"]),
    ("empty-and-not", "", ["read"]),
    ("not-and-empty", "read", []),
    ("strings", "read", "write"),
    ("joined", "read write", "readwrite"),
    ("null-and-good", None, ["read"]),
    ("good-and-null", "read", None),
):
    CASES.refuse(f"C27:both-{name}", forge(claims(scope=scope, scp=scp)), _MALFORMED)
