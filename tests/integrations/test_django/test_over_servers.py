"""The table over real HTTP: exact bytes on a socket, a WSGI or an ASGI server behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.integrations.behaviour import CASES, GOOD, Case, check
from tests.integrations.test_django.test_rest_framework import ALONE, check_rendered
from tests.integrations.test_wsgi_servers import Server, as_handed_on, require
from tests.integrations.wsgi_server import SERVERS, serving

pytestmark = pytest.mark.real_server

SERVED = "tests.integrations.test_django.served"
WSGI, ASGI = ("gunicorn-gthread", "uwsgi", "granian"), ("uvicorn", "daphne")

Servers = dict[str, Server]


@pytest.fixture(scope="module", params=WSGI + ASGI)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The two applications of the table, and the one of REST framework without the middleware."""
    server: str = request.param
    require(*SERVERS.get(server, [server]))
    more = {"child": SERVED} if server in ASGI else {}
    with contextlib.ExitStack() as stack:
        yield {
            name: Server(name=server, port=stack.enter_context(serving(server, f"{SERVED}:{name}", **more)))
            for name in ("required", "optional", "rest_framework")
        }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(case: Case, servers: Servers) -> None:
    if answered := as_handed_on(case, "django", servers[case.application]):
        case, found = answered
        check(case, found.status, found.headers, found.body)


@pytest.mark.parametrize("case", ALONE, ids=lambda case: case.name)
def test_each_request_for_a_view_of_rest_framework_gets_its_answer(case: Case, servers: Servers) -> None:
    if answered := as_handed_on(case, "django", servers["rest_framework"]):
        check_rendered(*answered)


def test_a_token_is_good_for_its_own_request_and_not_for_the_next_on_the_connection(servers: Servers) -> None:
    host = b"GET /any HTTP/1.1\r\nHost: api.example.com\r\n"
    good = f"Authorization: Bearer {GOOD}\r\n\r\n".encode()
    found = servers["required"].send(host + good + host + b"\r\n" + host + b"Connection: close\r\n" + good)
    assert [response.status for response in found] == [200, 401, 200][: len(found) or 1]  # uwsgi closes at once
