"""The table, through both of Django's handlers and views of both kinds."""

from __future__ import annotations

import pytest

from tests.integrations.behaviour import CASES, Case, check
from tests.integrations.test_django import project
from tests.integrations.test_django.conftest import Ask, Configured


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_request_of_the_table_gets_its_answer(
    case: Case, asynchronous: bool, ask: Ask, configured: Configured
) -> None:
    configured(**project.settings_of_the_table(case.application, asynchronous=asynchronous))
    found = ask(case.path, case.headers, method=case.method, body=case.body)
    check(case, found.status, found.headers, found.body)
