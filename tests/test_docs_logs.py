"""docs/logs.md: its lines are those that are written, its table has each reason, its example runs."""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenguard import InvalidToken, Reason, TokenValidator, Unavailable
from tokenguard.testing import Fault, LocalIssuer

PAGE = (Path(__file__).parents[1] / "docs" / "logs.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)
STATUS = {
    **dict.fromkeys(Reason, "401"),
    Reason.MALFORMED_AUTHORIZATION: "400",
    Reason.REPEATED_AUTHORIZATION: "400",
    Reason.INSUFFICIENT_SCOPE: "403",
    Reason.ACCESS_DENIED: "403",
    Reason.KEYS_UNAVAILABLE: "503",
    Reason.INTROSPECTION_UNAVAILABLE: "503",
    Reason.INTROSPECTION_CREDENTIALS_REJECTED: "503",
}


def test_each_reason_has_its_row_and_status_in_their_order() -> None:
    assert [(reason.value, STATUS[reason]) for reason in Reason] == ROWS


@pytest.mark.real_server
def test_the_lines_are_those_that_are_written(caplog: pytest.LogCaptureFixture) -> None:
    (shown,) = re.findall(r"```\n(WARNING .*?)```", PAGE, re.DOTALL)
    tick = [0.0]
    with LocalIssuer(algorithms=("ES256",), audience="https://api.example.com") as issuer:
        now = 1_700_000_000.0
        validator = TokenValidator(issuer.url, audience=issuer.audience, clock=lambda: now, monotonic=lambda: tick[0])
        times = {"iat": now - 3700, "exp": now - 3612}
        with validator, caplog.at_level(logging.WARNING, "tokenguard"):
            for claims in (times, {"exp": now + 60, "iat": now, "aud": "https://orders.example.com"}):
                with pytest.raises(InvalidToken):
                    validator.validate(issuer.mint(claims))
            issuer.fail(Fault.SERVER_ERROR, on="jwks")
            good = issuer.mint({"iat": now, "exp": now + 60})
            with pytest.raises(Unavailable):
                validator.validate(good)
            issuer.recover()
            tick[0] += 5
            validator.validate(good)
            validator._flights.rest(10.0)  # a fetch tells beside the requests that waited for it
        lines = [f"{record.levelname} {record.name} {record.getMessage()}" for record in caplog.records]
        assert sorted(line.replace(issuer.url, "https://as.example.com") for line in lines) == sorted(
            shown.splitlines()
        )


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tokenguard")
    before = logger.level, logger.handlers[:], logger.propagate
    yield logger
    logger.level, logger.handlers[:], logger.propagate = before


def test_the_configuration_gives_time_level_and_name(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/logs.md", "exec"), {})
    with pytest.raises(InvalidToken):
        TokenValidator("https://as.example.com", audience="a").validate("junk")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d [0-9:,]+ WARNING tokenguard refused with 401: malformed: .*\n", capsys.readouterr().err
    )
