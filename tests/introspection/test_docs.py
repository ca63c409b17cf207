"""docs/introspection.md and docs/issuers.md: their examples run, and their tables are what the code does."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tokenguard import Issuer, TenantIssuers, TokenValidator, events
from tokenguard.integrations.starlette import TokenGuardMiddleware
from tokenguard.introspection import Introspection, Policy
from tokenguard.testing import LocalIssuer

DOCS = Path(__file__).parents[2] / "docs"
INTROSPECTION = (DOCS / "introspection.md").read_text("utf-8")
ISSUERS = (DOCS / "issuers.md").read_text("utf-8")


def _examples(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def _run(example: str, **replaced: str) -> dict[str, Any]:
    for old, new in replaced.items():
        example = example.replace(f"https://{old}.", new)
    namespace: dict[str, Any] = {}
    exec(example, namespace)
    return namespace


def _table(text: str, head: str) -> dict[str, list[str]]:
    lines = text[text.index(head) :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer(algorithms=("ES256",)) as issuer:
        yield issuer


class TestIntrospection:
    def test_the_first_example(self, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_SECRET", "api-secret")
        first, last = _examples(INTROSPECTION)
        namespace = _run(first.replace("https://as.example.com", issuer.url))
        validator: TokenValidator = namespace["validator"]
        with validator:
            assert validator.validate(issuer.mint_opaque()).subject == "user-1"
            assert validator.validate(issuer.mint()).subject == "user-1"
        _run(last)

    def test_its_defaults_are_those_that_stand_there(self) -> None:
        defaults = Introspection(client_id="api", client_secret="s")
        assert "60 s at most | `lifetime` |" in INTROSPECTION
        assert (defaults.lifetime, defaults.inactive_lifetime, defaults.in_flight, defaults.patience) == (60, 10, 32, 5)
        for text in ("| 10 s, in a cache of its own |", "`in_flight` calls (32)", "`patience` seconds (5)"):
            assert text in INTROSPECTION

    def test_its_tables_name_what_there_is(self) -> None:
        policies = {name.split('"')[1] for name in _table(INTROSPECTION, "| `policy` |")}
        assert policies == set(typing.get_args(Policy))
        names = {event.__name__ for event in typing.get_args(events.Event)}
        assert set(_table(INTROSPECTION, "| event | when |")) == {n for n in names if n.startswith("Introspection")}
        switches = {name for name in Introspection.__dataclass_fields__ if name.startswith("allow_")}
        assert set(_table(INTROSPECTION, "| switch |")) == switches


class TestIssuers:
    def test_there_are_so_many_examples(self) -> None:
        assert len(_examples(ISSUERS)) == 6

    def test_several_issuers(self) -> None:
        namespace = _run(_examples(ISSUERS)[0])
        assert set(namespace["validator"].health()) == {
            "https://as.example.com",
            "https://sso.example.com/realms/shop",
        }

    def test_select_says_whom_to_ask(self) -> None:
        with LocalIssuer(algorithms=("ES256",)) as ours, LocalIssuer(algorithms=("ES256",)) as partner:
            example = _examples(ISSUERS)[1].replace("https://as.example.com", ours.url)
            example = example.replace("https://as.partner.example", partner.url).replace('"..."', '"api-secret"')
            example = example.replace('client_id="shop"', 'client_id="api"')
            validator: TokenValidator = _run(example)["validator"]
            with validator:
                assert validator.validate(ours.mint_opaque()).issuer == ours.url
                assert validator.validate(partner.mint_opaque(token="ptr_1")).issuer == partner.url
            assert (ours.requests["/introspect"], partner.requests["/introspect"]) == (1, 1)

    def test_tenants(self) -> None:
        tenants: TenantIssuers = _run(_examples(ISSUERS)[2])["tenants"]
        assert tenants.allows("acme")
        assert not tenants.allows("evil")
        entra: TenantIssuers = _run(_examples(ISSUERS)[3])["tenants"]
        assert entra.shares_keys
        (customer,) = _run(_examples(ISSUERS)[3])["customers"]
        assert entra.tenant(entra.url(customer)) == customer

    def test_a_tenants_token_is_good_at_its_own_host_alone(self) -> None:
        with LocalIssuer(algorithms=("ES256",)) as acme, LocalIssuer(algorithms=("ES256",)) as globex:
            namespace = _run(_examples(ISSUERS)[4])
            urls = {"acme": acme.url, "globex": globex.url}
            namespace["tenants"] = _Tenants(urls)

            async def who(request: Request) -> JSONResponse:
                return JSONResponse("ok")

            validator = TokenValidator(Issuer(acme.url), Issuer(globex.url), audience=acme.audience)
            guard = Middleware(TokenGuardMiddleware, validator=validator, issuer_of=namespace["issuer_of"])
            client = TestClient(Starlette(routes=[Route("/", who)], middleware=[guard]))
            good = {"Authorization": f"Bearer {acme.mint()}"}
            assert client.get("http://acme.api.example.org/", headers=good).status_code == 200
            for host in ("globex.api.example.org", "acme.evil.example", "api.example.org", "127.0.0.1"):
                answer = client.get(f"http://{host}/", headers=good)
                assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")

    def test_or_in_its_own_path(self) -> None:
        with LocalIssuer(algorithms=("ES256",)) as acme, LocalIssuer(algorithms=("ES256",)) as globex:
            namespace = _run(_examples(ISSUERS)[5])
            namespace["tenants"] = _Tenants({"acme": acme.url, "globex": globex.url})
            validator = TokenValidator(Issuer(acme.url), Issuer(globex.url), audience=acme.audience)
            guard = Middleware(TokenGuardMiddleware, validator=validator)
            app = Starlette(routes=[Route("/{tenant}/orders", namespace["orders"])], middleware=[guard])
            client = TestClient(app)
            good = {"Authorization": f"Bearer {acme.mint(scope='read:orders')}"}
            assert client.get("/acme/orders", headers=good).status_code == 200
            answer = client.get("/globex/orders", headers=good)
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


class _Tenants:
    """Tenants whose issuers are somewhere else than the example has them."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls

    def url(self, tenant: str) -> str:
        return self._urls[tenant]


@pytest.mark.parametrize("issuer_of", ["https://as.example.com", 1])
def test_issuer_of_is_a_function(issuer_of: Any) -> None:
    validator = TokenValidator("https://as.example.com", audience="api")
    with pytest.raises(Exception, match="issuer_of is"):
        TokenGuardMiddleware(Starlette(), validator=validator, issuer_of=issuer_of)


def test_a_refused_tenant_is_logged_with_its_issuer(issuer: LocalIssuer) -> None:
    seen: list[events.Event] = []
    validator = TokenValidator(Issuer(issuer.url), audience=issuer.audience, on_event=seen.append)
    guard = Middleware(TokenGuardMiddleware, validator=validator, issuer_of=lambda scope: None)
    client = TestClient(Starlette(middleware=[guard]))
    assert client.get("/", headers={"Authorization": f"Bearer {issuer.mint()}"}).status_code == 401
    (refused,) = [event for event in seen if isinstance(event, events.RequestRefused)]
    assert (refused.reason, refused.issuer, refused.client_id) == ("wrong_issuer", issuer.url, "client-1")
    validator.close()
