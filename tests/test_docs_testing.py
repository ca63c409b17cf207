"""Every example in docs/testing.md runs, and passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytest_plugins = ["pytester"]


def _example(text: str) -> str:
    found = [example for example in EXAMPLES if text in example]
    assert len(found) == 1
    return str(found[0])


def _run(example: str) -> ModuleType:
    """Run an example as a module, and all tests in it."""
    module = ModuleType("example")
    exec(compile(example, "docs/testing.md", "exec", dont_inherit=True), vars(module))  # without our `annotations`
    return module


def _pass(module: ModuleType) -> None:
    tests: list[Callable[[], None]] = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_each_example_is_tested_here() -> None:
    assert len(EXAMPLES) == 9


@pytest.mark.parametrize(
    ("framework", "text"),
    [
        ("starlette", "integrations.starlette"),
        ("fastapi", "return app\n\n\ndef test_orders():\n    client = TestClient"),
        ("fastapi", "dependency_overrides"),
        ("flask", "integrations.flask"),
    ],
)
def test_the_example_of_a_framework(framework: str, text: str) -> None:
    pytest.importorskip(framework)
    pytest.importorskip(f"tokenguard.integrations.{framework}", exc_type=ImportError)
    _pass(_run(_example(text)))


def test_the_django_example() -> None:
    pytest.importorskip("django")
    project: Any = pytest.importorskip("tests.integrations.test_django.project", exc_type=ImportError)
    project.configure()
    module = _run(_example("integrations.django"))
    with import_module("django.test").override_settings(ROOT_URLCONF=module, MIDDLEWARE=[project.GUARD]):
        _pass(module)


def test_the_example_of_several_callers() -> None:
    _pass(_run(_example("def test_several_callers")))


def test_the_example_of_a_real_issuer(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(_example("def test_a_rotation_and_an_outage"))
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=6)


def test_the_pytest_example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(_example("pytest_plugins"))
    pytester.makepyfile(_example("def test_an_outage"))
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--strict-markers").assert_outcomes(passed=3)
