"""The strict reader accepts what `json.loads` accepts, less what we refuse, and reads it alike.

The oracle works on values, where the reader works on text, so they have little to go wrong together.
"""

from __future__ import annotations

import json
import math
from typing import Any, Never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.effort import examples
from tests.ways import WAYS, Way, by
from tokenguard._json import MAX_DEPTH, MAX_VALUES, _canonical, _plain, json_object


class Refused(Exception):
    pass


def refuse(_: object) -> Never:
    raise Refused


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in names):
        raise Refused
    return dict(pairs)


def check(value: Any, depth: int = 1) -> None:
    """Refuse what a strict document may not hold, wherever it is."""
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        raise Refused
    if isinstance(value, dict):
        for name, member in value.items():
            check(name)
            check(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            check(member, depth + 1)
    elif (isinstance(value, str) and any(0xD800 <= ord(character) <= 0xDFFF for character in value)) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise Refused
    elif isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            raise Refused from None


def oracle(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
        check(value)
    except (ValueError, RecursionError, Refused):
        return None
    return value if isinstance(value, dict) else None


def ours(data: bytes) -> dict[str, Any] | None:
    try:
        return json_object(data)
    except ValueError:
        return None


def agree(data: bytes) -> None:
    expected = repr(oracle(data))  # repr tells 1 from 1.0 and True, and -0.0 from 0.0
    for way in WAYS:
        with by(way):
            assert repr(ours(data)) == expected


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**320), 10**320),
    st.floats(),
    st.text(),
    st.text(alphabet=st.characters(categories=["Cs", "L"])),
    st.text(alphabet='[]{}"\\,:'),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=5), inner, max_size=5)),
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=5)
NEARLY_JSON = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ",", ":", '"', '"a"', '"\\u0061"', '"b"', "1", "-", "0", ".", "e", "+", "1e400", "9" * 310,
         "NaN", "Infinity", "-Infinity", "true", "false", "null", " ", "\t", "\n", "\r", "\x0b", "\xa0", "\\", "\\u",
         "\\ud800",
         "\\udc00", '"\\ud83d\\ude00"', "\ufeff", "\x00", "/*", "'", "[" * 33, "]" * 33, '{"a":' * 32, "é"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("unit", "most"),
    [("1", 2997), ('"a,b"', 1498), ("{}", 749), ('{"a":1}', 749)],
    ids=["number", "comma", "{}", "object"],
)
def test_there_are_no_more_values_than_can_be_read_in_a_millisecond(unit: str, most: int, way: Way) -> None:
    with by(way):
        for count in (most, most + 1):
            text = f'{{"{"a" * MAX_VALUES}":[{",".join([unit] * count)}]}}'.encode()
            if count == most:
                assert json_object(text) == json.loads(text)
            else:
                with pytest.raises(ValueError, match="not a strict JSON object"):
                    json_object(text)


def test_a_short_text_may_have_as_many_values_as_fit() -> None:
    text = b'{"a":[' + b",".join([b"{}"] * 900) + b"]}"
    assert len(text) < MAX_VALUES
    assert json_object(text) == json.loads(text)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_written_json_is_read_alike(value: dict[str, Any], escaped: bool, indent: int | str | None) -> None:
    agree(json.dumps(value, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass"))


@given(OBJECTS, st.sampled_from([(",", ":"), (", ", ": ")]))
def test_compactly_written_json_is_read_alike(value: dict[str, Any], separators: tuple[str, str]) -> None:
    agree(json.dumps(value, ensure_ascii=False, separators=separators).encode("utf-8", "surrogatepass"))


FLAT = st.dictionaries(
    st.text("ab", max_size=2),
    st.one_of(st.text("ab :,[]{}", max_size=4), st.integers(), st.lists(st.text("ab", max_size=2), max_size=3)),
    max_size=4,
)


@given(st.lists(FLAT.map(lambda members: json.dumps(members, separators=(",", ":"))[1:-1]), max_size=3), st.data())
def test_a_name_that_stands_twice_is_seen(parts: list[str], data: st.DataObject) -> None:
    text = "{" + ",".join(filter(None, parts)) + "}"
    at = data.draw(st.integers(1, len(text)))
    agree(text.encode())
    agree((text[:at] + data.draw(st.sampled_from([" ", "\t", "\\u0061", "x"])) + text[at:]).encode())


@given(st.integers(0, 200), st.integers(290, 330), st.sampled_from(["", "-"]), st.sampled_from(["", ".0", "e1", " "]))
def test_a_number_of_hundreds_of_digits_is_seen_wherever_it_stands(
    before: int, digits: int, sign: str, behind: str
) -> None:
    agree(f'{{"{"a" * before}":{sign}{"9" * digits}{behind},"b":1}}'.encode())
    agree(f'{{"{"a" * before}":[{sign}{"1" * digits}{behind}]}}'.encode())


@given(st.integers(0, 80), st.integers(205, 250), st.integers(5, 110), st.sampled_from(["", "-"]), st.booleans())
def test_digits_and_exponent_may_be_too_much_together(
    before: int, digits: int, exponent: int, sign: str, escaped: bool
) -> None:
    name = ("\\u00e9" if escaped else "a") + "a" * before
    agree(f'{{"{name}":{sign}{"9" * digits}e{exponent}}}'.encode())
    agree(f'{{"{name}":[{sign}1{"0" * digits}E+{exponent}]}}'.encode())


def test_the_quick_ways_are_taken_for_what_issuers_send() -> None:
    for claims in ({"iss": "https://as.example.com", "exp": 1, "aud": ["a", "b"], "é": 1.5}, {"a": "b" * 400}):
        text = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
        assert _plain(text) == _canonical(text) == claims
        assert _plain(json.dumps(claims, ensure_ascii=False).encode()) == claims


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":1}', '{"a":{"b":1}}', '{"a":"\\u0062"}', f'{{"a":{"9" * 320}}}', ' {"a":1}', '{"a":1} ', "[]", "1"],
)
def test_the_quick_ways_leave_to_the_strict_reader_what_they_cannot_vouch_for(text: str) -> None:
    assert _plain(text.encode()) is None
    assert _canonical(text.encode()) is None or text in {'{"a":{"b":1}}', "[]", "1"}  # of these it may be sure


@given(OBJECTS, st.data())
def test_spoilt_json_is_read_alike(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    splice = data.draw(st.one_of(NEARLY_JSON.map(lambda part: part.encode()), st.binary(max_size=4)))
    agree(text[:start] + splice + text[end:])


@given(NEARLY_JSON)
@settings(max_examples=examples(1000))
def test_what_looks_like_json_is_read_alike(text: str) -> None:
    agree(text.encode())
    agree(f'{{"x":{text}}}'.encode())


@given(st.binary())
def test_any_bytes_are_read_alike(data: bytes) -> None:
    agree(data)


@given(
    st.integers(1, 40), st.integers(0, 40), st.sampled_from(["[]", "{}", "1", '"[[["']), st.text('[{"\\ ', max_size=9)
)
def test_depth_counts_brackets_outside_of_strings(lists: int, objects: int, core: str, text: str) -> None:
    opening, closing = '{"x":' + "[" * lists + '{"a":' * objects, "}" * objects + "]" * lists + "}"
    agree(f"{opening}{core}{closing}".encode())
    agree(f'{{"s":{json.dumps(text * 20)},"y":{opening}{core}{closing}}}'.encode())


@given(NEARLY_JSON)
def test_a_refusal_holds_nothing_of_the_document(text: str) -> None:
    # A JSONDecodeError has it all as `.doc`, a UnicodeDecodeError as `.object`.
    for data in (text.encode(), text.encode() + b"\xff"):
        try:
            json_object(data)
        except ValueError as error:
            refusal = error
        else:
            continue
        assert type(refusal) is ValueError
        assert refusal.__context__ is None
