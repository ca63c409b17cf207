"""docs/settings.md has each name once, with the default that the code has; its examples run."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest

from tokenguard import Introspection, Issuer, TokenValidator, profiles
from tokenguard.settings import NAMES, validator_from

PAGE = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines())
    if re.fullmatch("`[A-Z_]+`", cells[0])
}


def _default(function: object, argument: str) -> object:
    assert callable(function)
    return inspect.signature(function).parameters[argument].default


def test_the_table_has_all_names_in_the_order_of_the_code() -> None:
    assert tuple(ROWS) == NAMES


def test_the_table_has_the_defaults_of_the_code() -> None:
    defaults = {name: cells[1] for name, cells in ROWS.items()}
    assert defaults["ALGORITHMS"].strip("`").split() == list(Issuer("https://as").algorithms)
    assert defaults["PROFILE"] == f"`{profiles.BASE.name}`"
    assert defaults["LEEWAY"] == str(_default(Issuer, "leeway"))
    assert defaults["INTROSPECTION"] == f"`{_default(Introspection, 'policy')}`"
    assert float(defaults["INTROSPECTION_LIFETIME"]) == _default(Introspection, "lifetime")
    assert defaults["ALLOW_INSECURE_HTTP"] == "off"
    assert _default(Issuer, "allow_insecure_http") is False
    assert {name for name in NAMES if defaults[name] == "required"} == {"ISSUER", "AUDIENCE"}


def test_the_profiles_that_it_names_are_there() -> None:
    for name in re.findall("`([a-z0-9_]+)`", ROWS["PROFILE"][2]):
        validator_from({"ISSUER": "https://as", "AUDIENCE": "a", "PROFILE": name})


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TOKENGUARD_")]:  # such as of the tests themselves
        monkeypatch.delenv(name)
    for line in PAGE.splitlines():
        if line.startswith("export "):
            monkeypatch.setenv(*line.removeprefix("export ").split("=", 1))
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        namespace: dict[str, object] = {}
        exec(example, namespace)
        validator = namespace["validator"]
        assert isinstance(validator, TokenValidator)
        assert validator.realm == "https://api.example.com"
