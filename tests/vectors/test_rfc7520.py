"""The JWS examples of RFC 7520 s4 and of RFC 8037 appendix A, and the unencoded payload of RFC 7797."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.vectors.verifier import refusal
from tokenguard._keys.jwk import parse_jwk

Load = Callable[[str], Any]


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    """The examples hold private keys, which we would not take from a key set."""
    return {name: value for name, value in jwk.items() if name not in {"d", "p", "q", "dp", "dq", "qi"}}


@pytest.mark.parametrize(
    ("name", "alg"),
    [
        ("rfc7520/jws/4_1.rsa_v15_signature", "RS256"),
        ("rfc7520/jws/4_2.rsa-pss_signature", "PS384"),
        ("rfc7520/jws/4_3.ecdsa_signature", "ES512"),
        ("rfc7520/curve25519/jws", "EdDSA"),
    ],
)
def test_an_example_verifies_and_its_neighbours_do_not(load: Load, name: str, alg: str) -> None:
    example = load(f"{name}.json")
    token, jwk = example["output"]["compact"], public(example["input"]["key"])
    assert example["input"]["alg"] == alg
    assert refusal([jwk], token) is None
    assert refusal([{**jwk, "alg": alg}], token) is None

    head, payload, signature = token.split(".")
    assert refusal([jwk], f"{head}.{payload[:-4]}AAAA.{signature}") == "bad_signature"
    assert refusal([jwk], f"{head}.{payload}.AAAA{signature[4:]}") == "bad_signature"
    assert refusal([jwk], f"{head}..{signature}") == "malformed"
    assert str(refusal([{**jwk, "use": "enc"}], token)).endswith("use is not sig")
    assert str(refusal([example["input"]["key"]], token)).startswith("no usable key")  # it is private


def test_the_hmac_example_is_refused(load: Load) -> None:
    example = load("rfc7520/jws/4_4.hmac-sha2_integrity_protection.json")
    assert str(refusal([example["input"]["key"]], example["output"]["compact"])).startswith("no usable key")


def test_what_is_no_compact_serialization_is_refused(load: Load) -> None:
    # s4.5 detaches the payload; s4.6 to s4.8 exist as JSON only (RFC 7519 s1: a JWT is compact).
    key = public(load("rfc7520/jws/4_1.rsa_v15_signature.json")["input"]["key"])
    detached = load("rfc7520/jws/4_5.signature_with_detached_content.json")["output"]
    assert refusal([key], detached["compact"]) == "malformed"
    for name in ("4_6.protecting_specific_header_fields", "4_7.protecting_content_only", "4_8.multiple_signatures"):
        output = load(f"rfc7520/jws/{name}.json")["output"]
        assert "compact" not in output
        for form in output.values():
            assert refusal([key], json.dumps(form)) in {"malformed", "encrypted"}  # by the number of dots in it


def test_the_unencoded_payload_is_refused(load: Load) -> None:
    key = public(load("rfc7520/jws/4_1.rsa_v15_signature.json")["input"]["key"])
    for name in ("4.2.hmac-sha2_b64_false", "hmac-sha2_b64_false"):
        example = load(f"rfc7520/rfc7797/{name}.json")["output"]["json_flat"]
        # With a payload that is one in either reading, nothing but the header is against it.
        assert refusal([key], f"{example['protected']}.e30.{example['signature']}") == "unsupported_header"


def test_the_example_keys_parse_to_what_they_can_do(load: Load) -> None:
    ec, rsa = (load(f"rfc7520/jwk/{name}.json") for name in ("3_1.ec_public_key", "3_3.rsa_public_key"))
    assert parse_jwk(ec).algorithms == {"ES512"}
    assert parse_jwk(rsa).algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    for name in ("3_2.ec_private_key", "3_4.rsa_private_key", "3_5.symmetric_key_mac_computation"):
        with pytest.raises(ValueError, match="private or symmetric"):
            parse_jwk(load(f"rfc7520/jwk/{name}.json"))
