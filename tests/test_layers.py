"""The layers hold: a module imports from its own row or from rows below, in no circle, and touches only what it may."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = "tokenguard"

# From the bottom up. A name stands for a module, or for a package and all that is in it; it need not exist yet.
ROWS = {
    "L0": "errors challenge events _base64url _json _numbers _text _urls _cache _fetch _freshness _async",
    "L1": "_algorithms _jws token _claims _scopes _roles denylist config "
    "introspection tenants requirements profiles metadata",
    "L2": "_discovery _keys _introspection _trust",
    "L3": "_core",
    "L4": "validator _flight _transport _report settings _settings_forms",
    "tokenguard": "__init__",  # the public names: gathered from all that is below, used by all that is above
    "L5": "integrations",
    "beside": "testing cli __main__ _demo _verify",
}
RANK = {name: rank for rank, names in enumerate(ROWS.values()) for name in names.split()}

# Who may touch what, at run time. A name stands for a module, or for a package and all that is in it.
GUARDED = (
    ("socket ssl httpx httpx2 httpcore httpcore2 http urllib.request", "_transport testing cli _demo"),
    ("jwt cryptography", "_algorithms _keys.jwk _introspection.client_auth testing cli _demo"),
    ("starlette fastapi flask django rest_framework", "integrations testing _demo"),
    ("pytest", "testing"),  # in its plugin, which nobody imports unasked
)


class Import(NamedTuple):
    """`import module` or `from module import name`, with `module` absolute."""

    module: str
    name: str | None
    line: int
    for_types: bool

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def test_the_package_keeps_its_layers() -> None:
    package = Path(__file__).parents[1] / "src" / ROOT
    sources = {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in package.rglob("*.py")}
    assert "__init__.py" in sources
    assert violations(sources) == []


def violations(sources: Mapping[str, str]) -> list[str]:
    """What is wrong with the imports in `sources`: file (relative to the package) -> text."""
    modules = {_module(file): file for file in sources}
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        if _top(module) not in RANK:
            found.append(f"{file}: `{module}` stands in no row; give it one in ROWS")
            continue
        graph[module] = set()
        for imported in _imports(sources[file], file):
            at = f"{file}:{imported.line}: `{module}`"
            if _within(imported.path, ROOT):
                target = _target(imported, modules)
                graph[module] |= {target} - {module}
                found += (f"{at} {fault}" for fault in _upward(module, target))
                if module == "__init__" and (imported.name or "").startswith("_"):
                    found.append(f"{at} imports `{imported.name}`, which is not a public name")
            elif not imported.for_types:
                found += (f"{at} {fault}" for fault in _untouchable(module, imported.path))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each module before what imports it.
        found.append("circle: " + " imports ".join(reversed(error.args[1])))
    return found


def _upward(module: str, target: str) -> Iterator[str]:
    if _top(target) not in RANK:
        yield f"imports `{target}`, which stands in no row; give it one in ROWS"
    elif RANK[_top(target)] > RANK[_top(module)]:
        yield f"({_row(module)}) imports `{target}` ({_row(target)}): arrows point down only"


def _untouchable(module: str, path: str) -> Iterator[str]:
    for names, touchers in GUARDED:
        may = any(_within(module, toucher) for toucher in touchers.split())
        if not may and any(_within(path, name) for name in names.split()):
            yield f"imports `{path}`; only these may: {touchers}"


def _imports(source: str, file: str) -> Iterator[Import]:
    """Every import in `source`, wherever it stands."""
    package = [ROOT, *file.split("/")[:-1]]
    tree = ast.parse(source)
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for statement in branch.body  # and not its `else`
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None, node.lineno, id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(module, alias.name, node.lineno, id(node) in for_types) for alias in node.names)


def _module(file: str) -> str:
    """`errors.py` -> `errors`, `integrations/__init__.py` -> `integrations`; the package itself -> `__init__`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _target(imported: Import, modules: Mapping[str, str]) -> str:
    """The module that an import from our own package reaches: `from . import x` may mean a module or a name."""
    path, module = (dotted.removeprefix(ROOT).lstrip(".") for dotted in (imported.path, imported.module))
    return path if path in modules else module or "__init__"


def _top(module: str) -> str:
    return module.partition(".")[0]


def _row(module: str) -> str:
    return list(ROWS)[RANK[_top(module)]]


def _within(path: str, name: str) -> bool:
    return f"{path}.".startswith(f"{name}.")


# The checker can fail, and only where it should.


def test_imports_that_point_down_or_sideways_are_fine() -> None:
    assert not violations(
        {
            "__init__.py": "from .errors import Reason\nfrom ._core import decide\nfrom . import errors",
            "errors.py": "import json\nfrom .challenge import Challenge",
            "challenge.py": "import re",
            "_core.py": "from . import errors\nimport tokenguard._keys.jwks",
            "_keys/jwks.py": "from tokenguard.errors import Reason",
            "_transport.py": "import socket, httpx",
            "integrations/__init__.py": "",
            "integrations/asgi.py": "from .. import TokenValidator\nfrom ._common import refusal",
            "integrations/_common.py": "from ..errors import RequestRefused",
            "integrations/django/apps.py": "from ...errors import Reason\nfrom .._common import refusal\nimport django",
            "cli.py": "from .integrations.asgi import Middleware\nimport socket, jwt",
        }
    )


def test_an_upward_import_is_refused() -> None:
    assert violations({"errors.py": "import re\nfrom .validator import TokenValidator"}) == [
        "errors.py:2: `errors` (L0) imports `validator` (L4): arrows point down only"
    ]


def test_an_upward_import_is_seen_in_every_spelling() -> None:
    for statement in (
        "from . import validator",
        "from .validator import TokenValidator",
        "from tokenguard import validator",
        "from tokenguard.validator import *",
        "import tokenguard.validator as v",
        "def f() -> None:\n    from .validator import TokenValidator",
        "class C:\n    import tokenguard.validator",
        "if TYPE_CHECKING:\n    from .validator import TokenValidator",
    ):
        found = violations({"errors.py": statement, "validator.py": ""})
        assert [fault for fault in found if "(L0) imports `validator` (L4)" in fault], statement


def test_what_is_below_the_public_names_does_not_import_them() -> None:
    (fault,) = violations({"validator.py": "from . import Reason", "__init__.py": ""})
    assert "(L4) imports `__init__` (tokenguard)" in fault


def test_nothing_below_imports_what_stands_beside() -> None:
    (fault,) = violations({"integrations/asgi.py": "from ..testing.issuer import LocalIssuer"})
    assert "(L5) imports `testing.issuer` (beside)" in fault


def test_a_circle_is_refused() -> None:
    assert violations({"errors.py": "from . import challenge", "challenge.py": "from .errors import Reason"}) in (
        ["circle: errors imports challenge imports errors"],
        ["circle: challenge imports errors imports challenge"],
    )


def test_a_circle_inside_one_package_is_refused() -> None:
    sources = {"integrations/a.py": "from . import b", "integrations/b.py": "def f() -> None:\n    from .a import g"}
    (fault,) = violations(sources)
    assert fault.startswith("circle: ")


def test_a_module_in_no_row_is_named() -> None:
    assert violations({"_extra.py": "import socket"}) == ["_extra.py: `_extra` stands in no row; give it one in ROWS"]
    (fault,) = violations({"errors.py": "from ._gone import x"})
    assert fault == "errors.py:1: `errors` imports `_gone`, which stands in no row; give it one in ROWS"


def test_the_package_gives_out_public_names_only() -> None:
    (fault,) = violations({"__init__.py": "from ._core import _decide"})
    assert "`_decide`, which is not a public name" in fault


def test_only_some_modules_touch_the_network_the_keys_or_a_framework() -> None:
    for module, statement in (
        ("_core", "import socket"),
        ("_flight", "import httpx"),
        ("config", "from urllib import request"),
        ("_fetch", "import http.client"),
        ("validator", "def f() -> None:\n    from httpx import Client"),
        ("integrations/asgi", "import ssl"),
        ("_claims", "import jwt.algorithms"),
        ("_keys/lookup", "import jwt"),
        ("integrations/asgi", "from cryptography.hazmat import primitives"),
        ("validator", "from starlette.requests import Request"),
        ("cli", "import flask"),
        ("errors", "if TYPE_CHECKING:\n    pass\nelse:\n    import socket"),
    ):
        (fault,) = violations({f"{module}.py": statement})
        assert "only these may: " in fault, statement


def test_one_module_of_a_package_may_be_named_alone() -> None:
    assert not violations({"_keys/jwk.py": "import jwt"})


def test_names_that_only_look_alike_are_not_guarded() -> None:
    assert not violations({"_core.py": "import socketserver, urllib.parse\nfrom httpx_like import Client"})


def test_an_import_for_types_only_touches_nothing() -> None:
    for test in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        assert not violations({"validator.py": f"if {test}:\n    import httpx"})
