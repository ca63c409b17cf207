"""C26: each value has exactly one accepted base64url spelling."""

from __future__ import annotations

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ways import WAYS, Way, by
from tokenguard._base64url import base64url_decode

ALPHABET = (string.ascii_letters + string.digits + "-_").encode("ascii")
LIKELY = st.text(alphabet=(ALPHABET + b"=+/ .\n\0").decode("ascii"), max_size=60).map(str.encode)


def encode(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def accepted(text: bytes) -> bytes | None:
    one, other = (_accepted(text, way) for way in WAYS)
    assert one == other
    return one


def _accepted(text: bytes, way: Way) -> bytes | None:
    try:
        with by(way):
            return base64url_decode(text)
    except ValueError:
        return None


@given(st.binary(min_size=1, max_size=200))
def test_what_the_standard_library_encodes_is_decoded_to_the_same(data: bytes) -> None:
    assert accepted(encode(data)) == data


@given(st.one_of(LIKELY, st.binary(max_size=60)))
def test_whatever_is_accepted_encodes_to_itself(text: bytes) -> None:
    data = accepted(text)
    if data is not None:
        assert encode(data) == text


@given(st.one_of(LIKELY, st.binary(max_size=60)))
def test_what_is_refused_has_another_spelling_or_no_value(text: bytes) -> None:
    if accepted(text) is None and text:
        with suppress(ValueError):
            assert encode(urlsafe_b64decode(text + b"=" * (-len(text) % 4))) != text


def test_of_all_short_texts_exactly_the_canonical_ones_are_accepted() -> None:
    canonical = {encode(bytes([octet])) for octet in range(256)}
    for pair in product(range(256), repeat=2):
        assert (accepted(bytes(pair)) is not None) is (bytes(pair) in canonical)
    for octet in range(256):
        assert accepted(bytes([octet])) is None
    assert accepted(b"") is None


@given(st.binary(min_size=1, max_size=60), st.data())
def test_no_byte_outside_of_the_alphabet_is_overlooked(value: bytes, data: st.DataObject) -> None:
    text = encode(value)
    at = data.draw(st.integers(0, len(text)))
    strange = data.draw(st.sampled_from([octet for octet in range(256) if octet not in ALPHABET]))
    assert accepted(text[:at] + bytes([strange]) + text[at:]) is None
    assert accepted(text[:at] + bytes([strange]) + text[at + 1 :]) is None


def test_a_refusal_holds_nothing_of_the_text() -> None:
    for text in (b"", b"A", b"AB=", b"AA!A", b"AB", b"\xff\xff"):
        with pytest.raises(ValueError, match="base64url") as refused:
            base64url_decode(text)
        assert refused.value.__context__ is None
