"""Configuration from a mapping or the environment: one set of names, and faults that name the setting."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tokenguard import (
    ANY_AUDIENCE,
    AccessToken,
    ConfigurationError,
    Introspection,
    InvalidToken,
    Issuer,
    TokenCache,
    TokenValidator,
    profiles,
    settings,
)
from tokenguard.settings import NAMES, ValidatorOptions, validator_from, validator_from_environment
from tokenguard.testing import LocalIssuer

ISSUER = "https://as.example.com"
AUDIENCE = "https://api.example.com"
LEAST = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE}
ASKING = {**LEAST, "CLIENT_ID": "api"}
SECRET = "s3cr3t-that-nobody-may-see"
PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode("ascii")
)
ANY = "ANY_AUDIENCE_EVEN_OF_OTHER_APIS"


class Built(Exception):
    """What a validator would have been built of."""

    def __init__(self, *issuers: Issuer, **options: Any) -> None:
        (self.issuer,) = issuers
        self.options = options

    @property
    def introspection(self) -> Introspection:
        assert self.issuer.introspection is not None
        return self.issuer.introspection


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Any]], Built]:
    """From settings, or from variables with their prefix, to what is built of them."""
    monkeypatch.setattr(settings, "TokenValidator", Built)

    def build(said: Mapping[str, Any]) -> Built:
        written = any(name.startswith("TOKENGUARD_") for name in said)
        found: Any = validator_from_environment(said) if written else validator_from(said)
        assert isinstance(found, Built)
        return found

    return build


def _variables(said: Mapping[str, str]) -> dict[str, str]:
    return {f"TOKENGUARD_{name}": text for name, text in said.items()}


# What is said arrives


EVERYTHING: dict[str, tuple[Any, str, Callable[[Built], Any], Any]] = {
    # name: (in a mapping, in the environment, where it arrives, as what)
    "ISSUER": ("https://as", "https://as", lambda it: it.issuer.url, "https://as"),
    "AUDIENCE": (["a", "b"], "a b", lambda it: it.options["audience"], ("a", "b")),
    "REALM": ("mine", "mine", lambda it: it.options["realm"], "mine"),
    "ALGORITHMS": (["ES256", "EdDSA"], " ES256\n EdDSA\n", lambda it: it.issuer.algorithms, ("ES256", "EdDSA")),
    "PROFILE": ("rfc9068", "rfc9068", lambda it: it.issuer.profile, profiles.RFC9068),
    "LEEWAY": (5, "5", lambda it: it.issuer.leeway, 5),
    "MAX_TOKEN_AGE": (0.5, "0.5", lambda it: it.issuer.max_token_age, 0.5),
    "JWKS_URI": ("https://as/k", "https://as/k", lambda it: it.issuer.jwks_uri, "https://as/k"),
    "METADATA_URL": ("https://as/m", "https://as/m", lambda it: it.issuer.metadata_url, "https://as/m"),
    "ALLOW_INSECURE_HTTP": (True, "true", lambda it: it.issuer.allow_insecure_http, True),
    "TOKEN_CACHE": (False, "off", lambda it: it.options["token_cache"], None),
    "INTROSPECTION": ("always", "always", lambda it: it.introspection.policy, "always"),
    "INTROSPECTION_ENDPOINT": ("https://as/i", "https://as/i", lambda it: it.introspection.endpoint, None),
    "INTROSPECTION_AUTH": (
        "client_secret_post",
        "client_secret_post",
        lambda it: it.introspection.auth,
        "client_secret_post",
    ),
    "INTROSPECTION_LIFETIME": (0, "0", lambda it: it.introspection.lifetime, 0),
    "CLIENT_ID": ("orders", "orders", lambda it: it.introspection.client_id, "orders"),
    "CLIENT_SECRET": (SECRET, SECRET, lambda it: it.introspection.client_secret, SECRET),
    "CLIENT_SECRET_FILE": ("secret", "secret", lambda it: it.introspection.client_secret, SECRET),
    "PRIVATE_KEY": (PEM, PEM, lambda it: it.introspection.private_key, PEM),
    "PRIVATE_KEY_FILE": ("pem", "pem", lambda it: it.introspection.private_key, PEM.removesuffix("\n")),
    "KEY_ID": ("key-1", "key-1", lambda it: it.introspection.key_id, "key-1"),
    "BEARER": (SECRET, SECRET, lambda it: it.introspection.bearer, SECRET),
    "BEARER_FILE": ("secret", "secret", lambda it: it.introspection.bearer, SECRET),
}


def _company(name: str) -> dict[str, str]:
    """What has to be said beside a setting."""
    if name.startswith(("INTROSPECTION", "CLIENT_")):
        return LEAST | {"CLIENT_ID": "api"} | ({} if "SECRET" in name else {"CLIENT_SECRET": SECRET})
    if name.startswith(("PRIVATE_KEY", "KEY_ID")):
        return LEAST | {"CLIENT_ID": "api"} | ({"PRIVATE_KEY": PEM} if name == "KEY_ID" else {})
    return LEAST


@pytest.mark.parametrize("written", [False, True], ids=["mapping", "environment"])
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_setting_arrives(
    name: str,
    written: bool,
    built: Callable[[Mapping[str, Any]], Built],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text(f"{SECRET}\n")
    Path("pem").write_text(PEM)
    value, text, arrived, as_what = EVERYTHING[name]
    company = _company(name)
    said: dict[str, Any] = _variables({**company, name: text}) if written else {**company, name: value}
    assert arrived(built(said)) == (text if name == "INTROSPECTION_ENDPOINT" else as_what)


def test_all_settings_are_tested_above() -> None:
    assert tuple(EVERYTHING) == NAMES


def test_what_is_not_said_is_left_at_its_default(built: Callable[[Mapping[str, Any]], Built]) -> None:
    for least in (LEAST, _variables(LEAST)):
        found = built(least)
        assert found.issuer == Issuer(ISSUER)
        assert found.options == {"audience": (AUDIENCE,)}
    assert built({**ASKING, "CLIENT_SECRET": SECRET}).introspection == Introspection(
        client_id="api", client_secret=SECRET
    )


def test_a_mapping_may_hold_pythons_own_objects(built: Callable[[Mapping[str, Any]], Built], tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    said = {"PROFILE": profiles.OKTA, "AUDIENCE": {"b", "a"}, "CLIENT_SECRET_FILE": file, "TOKEN_CACHE": True}
    found = built({**ASKING, **said})
    assert found.issuer.profile is profiles.OKTA
    assert found.introspection.client_secret == SECRET
    assert found.options == {"audience": ("a", "b"), "token_cache": TokenCache()}


@pytest.mark.parametrize("text", ["true", "on", "1", "false", "off", "0"])
def test_switches_in_the_environment_have_six_spellings(text: str, built: Callable[[Mapping[str, Any]], Built]) -> None:
    found = built(_variables({**LEAST, "ALLOW_INSECURE_HTTP": text}))
    assert found.issuer.allow_insecure_http is (text in {"true", "on", "1"})


def test_each_ready_profile_has_a_name(built: Callable[[Mapping[str, Any]], Built]) -> None:
    ready = [value for value in vars(profiles).values() if isinstance(value, profiles.Profile)]
    assert [built({**LEAST, "PROFILE": it.name}).issuer.profile for it in ready] == ready


def test_any_audience_is_said_in_full(built: Callable[[Mapping[str, Any]], Built]) -> None:
    assert built({**LEAST, "AUDIENCE": ANY_AUDIENCE}).options["audience"] is ANY_AUDIENCE
    assert built({**LEAST, "AUDIENCE": ANY}).options["audience"] is ANY_AUDIENCE
    assert built(_variables({**LEAST, "AUDIENCE": ANY})).options["audience"] is ANY_AUDIENCE


def test_an_audience_of_a_mapping_is_taken_as_it_stands(built: Callable[[Mapping[str, Any]], Built]) -> None:
    assert built({**LEAST, "AUDIENCE": "urn:a,b c"}).options["audience"] == ("urn:a,b c",)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_loses_one_line_end_and_nothing_else(
    end: str, built: Callable[[Mapping[str, Any]], Built], tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f" ünd \\n {end}".encode())
    assert built({**ASKING, "CLIENT_SECRET_FILE": str(file)}).introspection.client_secret == " ünd \\n "
    file.write_bytes(f"{PEM}{end}".encode())
    assert built({**ASKING, "PRIVATE_KEY_FILE": str(file)}).introspection.private_key == (
        PEM if end else PEM.removesuffix("\n")
    )


def test_other_variables_are_left_alone(built: Callable[[Mapping[str, Any]], Built]) -> None:
    found = built({**_variables(LEAST), "PATH": "/bin", "TOKENGUARDIAN": "x", "tokenguard_leeway": "x"})
    assert found.issuer == Issuer(ISSUER)


def test_another_prefix_is_another_validator() -> None:
    variables = {**_variables(LEAST), "SHOP_ISSUER": "https://sso.example.com", "SHOP_AUDIENCE": "shop"}
    assert validator_from_environment(variables).realm == AUDIENCE
    assert validator_from_environment(variables, prefix="SHOP_").realm == "shop"


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TOKENGUARD_")]:  # such as of the tests themselves
        monkeypatch.delenv(name)
    for name, text in _variables(LEAST).items():
        monkeypatch.setenv(name, text)
    assert validator_from_environment().realm == AUDIENCE


def test_adapters_may_have_names_of_their_own() -> None:
    assert validator_from({**LEAST, "REQUIRED": None, "USER": ""}, also=("REQUIRED", "USER")).realm == AUDIENCE
    assert validator_from_environment(_variables({**LEAST, "REQUIRED": ""}), also={"REQUIRED"}).realm == AUDIENCE


def test_what_only_code_can_say_is_passed_on() -> None:
    def check(token: AccessToken) -> None:
        raise InvalidToken

    seen: list[object] = []
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        said = {"ISSUER": issuer.url, "AUDIENCE": issuer.audience}
        for validator in (
            validator_from(said, checks=[check], on_event=seen.append),
            validator_from_environment(_variables(said), checks=[check], on_event=seen.append),
        ):
            with validator, pytest.raises(InvalidToken):
                validator.validate(issuer.mint())
    assert len(seen) > 2


def test_the_options_are_those_of_the_validator_that_no_setting_says() -> None:
    taken = inspect.signature(TokenValidator).parameters
    assert set(ValidatorOptions.__annotations__) == set(taken) - {"issuers", "audience", "realm", "token_cache"}


def test_everything_is_read_once() -> None:
    class Counting(dict[str, Any]):
        reads = 0

        def items(self) -> Any:
            self.reads += 1
            return super().items()

        def __getitem__(self, name: str) -> Any:
            raise AssertionError("read twice")

    said = Counting(LEAST)
    validator_from(said)
    assert said.reads == 1
    variables = Counting(_variables(LEAST))
    validator_from_environment(variables)
    assert variables.reads == 1


# Faults


def _fault(said: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        validator_from(said, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None  # of which a secret might be part
    return str(caught.value)


def _written_fault(said: Mapping[str, str], **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        validator_from_environment(_variables(said), **options)
    assert caught.value.__context__ is None
    return str(caught.value)


FAULTS: dict[str, tuple[Mapping[Any, Any], str]] = {
    "no issuer": ({"AUDIENCE": "a"}, "TOKENGUARD['ISSUER'] is missing: name the authorization server by its URL"),
    "no audience": ({"ISSUER": ISSUER}, "TOKENGUARD['AUDIENCE'] is missing: name this API as it stands in the aud"),
    "nothing": ({}, "TOKENGUARD['ISSUER'] is missing"),
    "misspelt": ({**LEAST, "AUDIANCE": "a"}, "TOKENGUARD['AUDIANCE'] is no setting: did you mean TOKENGUARD['AUDIEN"),
    "in lower case": ({**LEAST, "leeway": 1}, "TOKENGUARD['leeway'] is no setting: did you mean TOKENGUARD['LEEWAY']?"),
    "far from all": ({**LEAST, "XYZ": 1}, "TOKENGUARD['XYZ'] is no setting: choose from ISSUER, AUDIENCE, REALM, ALG"),
    "a number as name": ({**LEAST, 7: 1}, "TOKENGUARD[7] is no setting: choose from ISSUER"),
    "None": ({**LEAST, "REALM": None}, "TOKENGUARD['REALM'] is empty: give it a value, or leave it out"),
    "empty text": ({**LEAST, "ISSUER": ""}, "TOKENGUARD['ISSUER'] is empty: give it"),
    "empty list": ({**LEAST, "AUDIENCE": []}, "TOKENGUARD['AUDIENCE'] is empty: give it"),
    "empty secret": ({**ASKING, "CLIENT_SECRET": ""}, "TOKENGUARD['CLIENT_SECRET'] is empty: give it"),
    "empty text in a list": ({**LEAST, "AUDIENCE": ["a", ""]}, "TOKENGUARD['AUDIENCE'] has an empty text in it"),
    "number in a list": ({**LEAST, "AUDIENCE": ["a", 7]}, "TOKENGUARD['AUDIENCE'] is 7: write a text"),
    "audience of a wrong type": ({**LEAST, "AUDIENCE": 7}, "TOKENGUARD['AUDIENCE'] is 7: write a text, or a list"),
    "audience of a mapping": ({**LEAST, "AUDIENCE": {"a": 1}}, "is of type dict: write a text, or a list of them"),
    "any audience, short": ({**LEAST, "AUDIENCE": "ANY_AUDIENCE"}, f"write {ANY} and nothing beside it"),
    "any audience, starred": ({**LEAST, "AUDIENCE": ["*"]}, "TOKENGUARD['AUDIENCE'] is '*': name this API as it"),
    "any audience and another": ({**LEAST, "AUDIENCE": [ANY, "a"]}, "and nothing beside it"),
    "text is a number": ({**LEAST, "REALM": 7}, "TOKENGUARD['REALM'] is 7: write a text"),
    "text in white space": ({**LEAST, "REALM": "a "}, "TOKENGUARD['REALM'] is 'a ': there is white space around it"),
    "issuer in white space": ({**LEAST, "ISSUER": f"{ISSUER}\n"}, "there is white space around it"),
    "issuer with a password": ({**LEAST, "ISSUER": f"https://u:{SECRET}@as"}, "has a user name or a password in it"),
    "seconds as text": ({**LEAST, "LEEWAY": "30"}, "TOKENGUARD['LEEWAY'] is '30': write a number of seconds"),
    "seconds as a switch": ({**LEAST, "LEEWAY": True}, "TOKENGUARD['LEEWAY'] is True: write a number of seconds"),
    "too many seconds": ({**LEAST, "LEEWAY": 3600}, "TOKENGUARD: leeway is 3600: it is a number of seconds from 0"),
    "switch as text": ({**LEAST, "TOKEN_CACHE": "false"}, "TOKENGUARD['TOKEN_CACHE'] is 'false': write True or False"),
    "switch as a number": ({**LEAST, "ALLOW_INSECURE_HTTP": 1}, "is 1: write True or False"),
    "unknown profile": ({**LEAST, "PROFILE": "RFC9068"}, "TOKENGUARD['PROFILE'] is 'RFC9068': choose from base, rfc9"),
    "profile of a wrong type": ({**LEAST, "PROFILE": profiles}, "TOKENGUARD['PROFILE'] is of type module: write a te"),
    "unknown policy": ({**ASKING, "INTROSPECTION": "never"}, "TOKENGUARD['INTROSPECTION'] is 'never': write opaque,"),
    "secret as bytes": ({**ASKING, "CLIENT_SECRET": SECRET.encode()}, "TOKENGUARD['CLIENT_SECRET'] is of type bytes:"),
    "secret with a line end": ({**ASKING, "CLIENT_SECRET": f"{SECRET}\n"}, "TOKENGUARD['CLIENT_SECRET'] has a line en"),
    "key as a number": ({**ASKING, "PRIVATE_KEY": 7}, "TOKENGUARD['PRIVATE_KEY'] is of type int: write a text"),
    "key that is none": ({**ASKING, "PRIVATE_KEY": SECRET}, "TOKENGUARD: "),
    "file is a number": ({**ASKING, "BEARER_FILE": 3}, "TOKENGUARD['BEARER_FILE'] is 3: write the path of a file"),
    "two ways to say a secret": (
        {**ASKING, "CLIENT_SECRET": SECRET, "CLIENT_SECRET_FILE": "/nowhere"},
        "TOKENGUARD['CLIENT_SECRET'] and TOKENGUARD['CLIENT_SECRET_FILE'] say the same: keep one",
    ),
    "two credentials": ({**ASKING, "CLIENT_SECRET": SECRET, "BEARER": SECRET}, "TOKENGUARD: Introspection needs one"),
    "a client without credentials": (ASKING, "TOKENGUARD: Introspection needs one credential"),
    "introspection without a client": ({**LEAST, "INTROSPECTION": "only"}, "give client_id with client_secret or priv"),
    "two sources of keys": ({**LEAST, "JWKS_URI": "https://as", "METADATA_URL": "https://as"}, "keep one of jwks_uri"),
    "an algorithm that verifies nothing": ({**LEAST, "ALGORITHMS": "HS256"}, "TOKENGUARD: algorithm 'HS256' can nev"),
    "an issuer over http": ({**LEAST, "ISSUER": "http://as.example.com"}, "TOKENGUARD: Issuer url"),
    "an issuer over http, in the words here": (
        {**LEAST, "ISSUER": "http://as.example.com"},
        "(here url is TOKENGUARD['ISSUER'], allow_insecure_http is TOKENGUARD['ALLOW_INSECURE_HTTP'])",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_mapping_is_named(fault: str) -> None:
    said, message = FAULTS[fault]
    found = _fault(said)
    assert message in found
    assert SECRET not in found


WRITTEN_FAULTS: dict[str, tuple[Mapping[str, str], str]] = {
    "misspelt": ({**LEAST, "AUDIANCE": "a"}, "TOKENGUARD_AUDIANCE is no setting: did you mean TOKENGUARD_AUDIENCE?"),
    "of another adapter": ({**LEAST, "REQUIRED": "1"}, "TOKENGUARD_REQUIRED is no setting"),
    "missing": ({}, "TOKENGUARD_ISSUER is missing: name the"),
    "empty": ({**LEAST, "REALM": ""}, "TOKENGUARD_REALM is empty: give it a value, or leave it out"),
    "audience of spaces": ({**LEAST, "AUDIENCE": " "}, "TOKENGUARD_AUDIENCE is empty: give it"),
    "audience with commas": ({**LEAST, "AUDIENCE": "a,b"}, "TOKENGUARD_AUDIENCE is 'a,b': separate with spaces, not"),
    "any audience and another": ({**LEAST, "AUDIENCE": f"a {ANY}"}, f"write {ANY} and nothing beside it"),
    "seconds with a unit": ({**LEAST, "LEEWAY": "30s"}, "TOKENGUARD_LEEWAY is '30s': write a number of seconds, such"),
    "seconds below zero": ({**LEAST, "LEEWAY": "-1"}, "TOKENGUARD_LEEWAY is '-1': write a number"),
    "seconds in other digits": ({**LEAST, "LEEWAY": "٣٠"}, "TOKENGUARD_LEEWAY is"),
    "seconds of no end": ({**LEAST, "LEEWAY": "inf"}, "TOKENGUARD_LEEWAY is 'inf'"),
    "switch with a capital": ({**LEAST, "TOKEN_CACHE": "True"}, "TOKENGUARD_TOKEN_CACHE is 'True': write true, on or"),
    "issuer with a line end": ({**LEAST, "ISSUER": f"{ISSUER}\n"}, "there is white space around it"),
    "too many seconds": ({**LEAST, "LEEWAY": "301"}, "0 to 300 (here leeway is TOKENGUARD_LEEWAY)"),
    "no seconds": ({**LEAST, "MAX_TOKEN_AGE": "0"}, "(here max_token_age is TOKENGUARD_MAX_TOKEN_AGE)"),
    "a realm that cannot be sent": ({**LEAST, "REALM": '"'}, "(here realm is TOKENGUARD_REALM)"),
    "an algorithm that verifies nothing": (
        {**LEAST, "ALGORITHMS": "HS256"},
        "(here algorithm is TOKENGUARD_ALGORITHMS)",
    ),
    "keys over http": (
        {**LEAST, "JWKS_URI": "http://as.example.com/keys"},
        "(here jwks_uri is TOKENGUARD_JWKS_URI, allow_insecure_http is TOKENGUARD_ALLOW_INSECURE_HTTP)",
    ),
    "an issuer over http, with words of ours in it": (
        {**LEAST, "ISSUER": "http://realm.example.com/auth?profile"},
        "(here url is TOKENGUARD_ISSUER, allow_insecure_http is TOKENGUARD_ALLOW_INSECURE_HTTP)",
    ),
    "a method of another credential": (
        {**ASKING, "CLIENT_SECRET": SECRET, "INTROSPECTION_AUTH": "bearer"},
        "(here auth is TOKENGUARD_INTROSPECTION_AUTH, client_secret is TOKENGUARD_CLIENT_SECRET)",
    ),
    "no secret": (
        ASKING,
        "client_id is TOKENGUARD_CLIENT_ID, client_secret is TOKENGUARD_CLIENT_SECRET or TOKENGUARD_CLIENT_SECRET_FILE",
    ),
    "a claim that is called as an option is": (
        {**LEAST, "AUDIENCE": ANY, "PROFILE": "cognito"},
        "into audience (here profile is TOKENGUARD_PROFILE, audience is TOKENGUARD_AUDIENCE)",
    ),
    "two ways": ({**ASKING, "BEARER": "b", "BEARER_FILE": "f"}, "TOKENGUARD_BEARER and TOKENGUARD_BEARER_FILE say"),
}


@pytest.mark.parametrize("fault", WRITTEN_FAULTS)
def test_a_fault_in_the_environment_names_the_variable(fault: str) -> None:
    said, message = WRITTEN_FAULTS[fault]
    assert message in _written_fault(said)


def _no_such(tmp_path: Path) -> Path:
    return tmp_path / "no-such"


def _directory(tmp_path: Path) -> Path:
    return tmp_path


def _content(content: bytes) -> Callable[[Path], Path]:
    def write(tmp_path: Path) -> Path:
        (tmp_path / "file").write_bytes(content)
        return tmp_path / "file"

    return write


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (_no_such, "cannot be read: No such file or directory"),
    "a directory": (_directory, "cannot be read: "),
    "a path with a NUL": (lambda _: Path("a\0b"), "cannot be read: the path has a NUL in it"),
    "empty": (_content(b""), "is empty"),
    "a line end": (_content(b"\n"), "is empty"),
    "not in UTF-8": (_content(SECRET.encode() + b"\xff"), "is not in UTF-8"),
    "very long": (_content(SECRET.encode() * 3000), "has more than 65536 bytes"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_no_use_is_named_with_its_setting_and_never_shown(fault: str, tmp_path: Path) -> None:
    make, message = FILES[fault]
    file = make(tmp_path)
    for name in ("CLIENT_SECRET_FILE", "PRIVATE_KEY_FILE", "BEARER_FILE"):
        found = _written_fault({**ASKING, name: str(file)})
        assert found.startswith(f"TOKENGUARD_{name} is ")
        assert f"that file {message}" in found
        assert file.name.replace("\0", "\\x00") in found
        assert SECRET not in found


def test_two_lines_are_no_secret(tmp_path: Path) -> None:
    file = _content(f"{SECRET}\n\n".encode())(tmp_path)
    for name in ("CLIENT_SECRET_FILE", "BEARER_FILE"):
        found = _fault({**ASKING, name: str(file)})
        assert found == f"TOKENGUARD['{name}'] has a line end or another control character in it"


def test_settings_that_are_no_mapping_are_not_shown() -> None:
    found = _fault(SECRET, where="settings.TOKENGUARD")
    assert found == (
        'settings.TOKENGUARD is of type str: write settings.TOKENGUARD = {"ISSUER": "https://...", "AUDIENCE": "..."}'
    )


def test_also_and_prefix_are_checked() -> None:
    assert 'also=("USER",)' in _fault(LEAST, also="USER")
    assert 'also=("USER",)' in _written_fault(LEAST, also="USER")
    for prefix in ("", None):
        assert 'such as "TOKENGUARD_"' in _written_fault(LEAST, prefix=prefix)


def test_an_error_in_the_code_is_named_too() -> None:
    assert _fault(LEAST, on_event=7) == "TOKENGUARD: on_event is 7: give a plain function"


def test_a_validator_from_settings_validates() -> None:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        said = {"ISSUER": issuer.url, "AUDIENCE": issuer.audience, "CLIENT_ID": "api", "CLIENT_SECRET": "api-secret"}
        with validator_from_environment(_variables(said)) as validator:
            assert validator.validate(issuer.mint()).subject == "user-1"
            assert validator.validate(issuer.mint_opaque()).client_id == "client-1"
