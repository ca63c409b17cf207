"""Second opinions: the corpus through PyJWT and joserfc. Where one disagrees, a row below says why, or the test fails.

Both are asked as their documentation shows, for the same: allow-list, keys, issuer, audience, leeway, exp required.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple, Self

import joserfc.jwt
import jwt
import pytest
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from tests.corpus.case import Case
from tests.corpus.everything import ALL_CASES
from tests.forge import ALGORITHMS, AUDIENCE, GOOD_KEYS, ISSUER, LEEWAY, NOW

# Of the name EdDSA, which RFC 9864 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

Peer = Callable[[str | bytes], bool]

_PYJWT_KEYS = {jwk["kid"]: jwt.PyJWK(jwk) for jwk in GOOD_KEYS}
_BY_ALGORITHM = {jwk["alg"]: jwk["kid"] for jwk in GOOD_KEYS}
_JOSERFC_KEYS = KeySet.import_key_set({"keys": GOOD_KEYS})


def pyjwt(token: str | bytes) -> bool:
    try:
        header = jwt.get_unverified_header(token)
        # No kid: the one key for the algorithm, as we do. PyJWKClient would refuse.
        kid = header["kid"] if "kid" in header else _BY_ALGORITHM[header["alg"]]
        jwt.decode(
            token,
            _PYJWT_KEYS[kid],
            algorithms=list(ALGORITHMS),
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=LEEWAY,
            options={"require": ["exp"]},
        )
    except Exception:  # noqa: BLE001  (some refusals are a TypeError or a RecursionError)
        return False
    return True


_REGISTRY = JWTClaimsRegistry(
    now=NOW,
    leeway=LEEWAY,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
)


def joserfc_(token: str | bytes) -> bool:
    try:
        decoded = joserfc.jwt.decode(token, _JOSERFC_KEYS, algorithms=list(ALGORITHMS))
        _REGISTRY.validate(decoded.claims)
    except Exception:  # noqa: BLE001
        return False
    return True


PEERS: dict[str, Peer] = {"PyJWT": pyjwt, "joserfc": joserfc_}


class _FixedClock(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(NOW, tz)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt.api_jwt.datetime", _FixedClock)  # it cannot be told the time


class Row(NamedTuple):
    """A rule by which we and others part: whose verdict differs, on which cases (patterns of their ids), and why."""

    peers: tuple[str, ...]
    cases: tuple[str, ...]
    why: str


PYJWT, JOSERFC, BOTH = ("PyJWT",), ("joserfc",), ("PyJWT", "joserfc")

TABLE = (
    # We refuse, they accept: the text
    Row(PYJWT, ("F11:*-2-and-2", "F11:*-3-and-1", "F11:signature-2"), "padding accepted on purpose (RFC 7515 s2)"),
    Row(BOTH, ("F19:utf-16*", "F19:utf-32*"), "json.loads guesses UTF-16 and UTF-32; RFC 7519 s7.2: UTF-8"),
    Row(BOTH, ("F19:utf-8-bom-in-*", "F:json-space-bom-before-in-*"), "json.loads drops a BOM; RFC 8259 s8.1: no BOM"),
    Row(PYJWT, ("F19:raw-*-surrogate-*", "F19:cesu-8-pair-*"), "bytes are decoded with surrogatepass: no UTF-8"),
    Row(JOSERFC, ("F19:raw-*-in-payload", "F19:cesu-8-*-in-payload"), "the same"),
    Row(PYJWT, ("F:surrogate-*",), "lone surrogates pass json.loads; nobody can write them back (RFC 8259 s8.2)"),
    Row(JOSERFC, ("F:surrogate-*-in-payload",), "the same; headers with unknown members are refused anyway"),
    Row(PYJWT, ("F25:*",), "Python's NaN and Infinity; RFC 8259 s6 has none"),
    Row(JOSERFC, ("F25:*-in-payload",), "the same"),
    Row(PYJWT, ("F26:*", "H14:*"), "of a name given twice the last wins; readers differ (RFC 7519 s4)"),
    Row(JOSERFC, ("F26:*", "H14:*"), "the same"),
    Row(PYJWT, ("F:number-*",), "1e400 becomes inf, integers have any size (see RFC 8259 s6)"),
    Row(JOSERFC, ("F:number-*-in-payload",), "the same"),
    Row(BOTH, ("C05:exp-100000000000-401",), "an integer that no double holds is an expiry in the far future"),
    Row(PYJWT, ("F28:*",), "nested as deep as Python's stack; we stop at 32"),
    Row(JOSERFC, ("F28:*-in-payload",), "the same"),
    Row(PYJWT, ("F30:16385-*",), "no limit of size; joserfc has one of its own"),
    # We refuse, they accept: the header
    Row(PYJWT, ("F04:three-segments-with-enc", "H11:zip-*", "H11:enc*"), "parameters of a JWE in a JWS are ignored"),
    Row(BOTH, ("F37:*", "H11:cty-*"), "b64=true and cty pass; they mean what we do not serve"),
    Row(BOTH, ("H16:*",), "typ is not looked at; RFC 8725bis s3: kinds of JWT are to be told apart"),
    Row(PYJWT, ("K01:a-token-as-typ",), "the same; joserfc has a limit of its own for the header's size"),
    # We refuse, they accept: the claims
    Row(PYJWT, ("C03:exp-*", "C08:*-plus-text"), "int() of a string; RFC 7519 s2: a NumericDate is a number"),
    Row(PYJWT, ("C08:*-true", "C08:*-false"), "int() of a bool"),
    Row(PYJWT, ("C07:*-a-fraction-outside",), "int() cuts the fraction off before it compares"),
    Row(BOTH, ("C05:exp-*",), "a time in milliseconds is an expiry after thousands of years"),
    Row(BOTH, ("C21:client_id-*",), "client_id is no claim they know (RFC 9068 s2.2: a string, RFC 8693 s4.3)"),
    Row(BOTH, ("C24:*",), "marks of ID, refresh and logout tokens are not looked at (RFC 8725bis s3)"),
    Row(BOTH, ("C:cnf-*",), "a bound token passes as a bearer token (RFC 9449 s7.2: MUST be refused)"),
    Row(BOTH, ("C25:*", "C27:*"), "scopes are the application's; RFC 6749 s3.3 says of what characters they are"),
    # They refuse, we accept
    Row(PYJWT, ("V06:exp-59.999-past",), "int() cuts the fraction off; RFC 7519 s2 allows non-integer values"),
    Row(JOSERFC, ("V:header-*", "F*-in-header", "F12:the-same*"), "unknown parameters refused (RFC 7515 s4: ignore)"),
    Row(JOSERFC, ("V:kid-absent-*",), "several keys and no kid: refused, though one only fits the alg"),
    Row(JOSERFC, ("K05:attackers-jwk-*", "K09:attackers-x5c-*"), "jwk and x5c are read; we never do"),
    Row(JOSERFC, ("V:at-most-16384-*",), "a smaller limit of size"),
)  # fmt: skip

# For all that we configure differently there is nothing to compare; and megabytes only tell about speed.
COMPARED = [case for case in ALL_CASES if case.rules == "base" and len(case.token) <= 20_000]


def disagreements(peer: str) -> Iterator[Case]:
    for case in COMPARED:
        if PEERS[peer](case.token) is not (case.reason is None):
            yield case


@pytest.fixture(scope="module", params=list(PEERS))
def peer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_disagreement_is_explained_and_each_explanation_is_needed(peer: str) -> None:
    patterns = {(pattern, row.why): 0 for row in TABLE if peer in row.peers for pattern in row.cases}
    unexplained = []
    for case in disagreements(peer):
        matching = [key for key in patterns if fnmatchcase(case.id, key[0])]
        for key in matching:
            patterns[key] += 1
        if not matching:
            unexplained.append(f"{case.id}: {peer} says otherwise than {case.reason or 'good'}")
    assert unexplained == []
    assert [key for key, used in patterns.items() if not used] == []


def test_the_peers_do_agree_where_it_matters(peer: str) -> None:
    for case_id in ("V01:RS256", "V01:PS256", "V01:ES256", "V01:EdDSA", "V06:exp-59-past"):
        (case,) = (case for case in COMPARED if case.id == case_id)
        assert PEERS[peer](case.token), case_id
    for case_id in (
        "C01:just-outside",
        "C02:missing",
        "C12:wrong",
        "C16:wrong",
        "S03:RS256-payload-swapped",
        "S04:EdDSA",
    ):
        (case,) = (case for case in COMPARED if case.id == case_id)
        assert not PEERS[peer](case.token), case_id
