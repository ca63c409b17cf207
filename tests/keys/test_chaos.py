"""Some seconds of everything at once. `TOKENGUARD_CHAOS_SECONDS=60` makes a minute of it; figures go to the log."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.forge import EVIL_P256
from tests.keys.stage import fetching, settle
from tokenguard import Issuer, KeyPolicy, RequestRefused, TokenValidator
from tokenguard.testing import Fault, LocalIssuer

pytestmark = pytest.mark.real_server

SECONDS = float(os.environ.get("TOKENGUARD_CHAOS_SECONDS", "2"))
RATE = 500  # requests per second
THREADS = 16

# An hour's life in a minute.
POLICY = KeyPolicy(
    lifetime=1,
    min_lifetime=0.5,
    max_lifetime=2,
    refresh_ahead=0.4,
    stale_window=120 + SECONDS,
    metadata_lifetime=2,
    cooldown=0.2,
    retry_first=0.05,
    retry_most=0.5,
    connect_timeout=0.3,
    total_timeout=0.3,
    patience=0.5,
)


class Chaos:
    """An issuer that fails at random, and clients that do not care."""

    def __init__(self, issuer: LocalIssuer, validator: TokenValidator) -> None:
        self.issuer = issuer
        self.validator = validator
        self.over = threading.Event()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.counting = threading.Lock()
        self.tokens: dict[str, str] = {}
        self.faults: Counter[str] = Counter()
        self.rotations = 0

    def mint(self, kid: str) -> None:
        issuer = self.issuer
        self.tokens = {
            "good": issuer.mint(kid=kid),
            "forged": issuer.mint(kid=kid, key=EVIL_P256),
            "expired": issuer.mint(kid=kid, expires_in=-900),
            "unknown kid": issuer.mint(header={"kid": f"made-up-{time.monotonic_ns()}"}),
        }

    def spoil(self) -> None:
        """A fault, an outage or nothing, for a moment each; new keys now and then, used once they are known."""
        chance, current = random.Random(5), self.issuer.kid()
        choices = [*Fault, "down", *["well"] * 6]
        upcoming = None
        while not self.over.wait(chance.uniform(0.02, 0.25)):
            self.issuer.up()
            self.issuer.recover()
            if upcoming is None and chance.random() < 0.3:
                upcoming = self.issuer.rotate()
            elif upcoming is not None and f"'{upcoming}'" in self.validator.health()[self.issuer.url]["key_ids"]:
                self.issuer.withdraw(current)
                current, upcoming = upcoming, None
                self.rotations += 1
            self.mint(current)
            choice = chance.choice(choices)
            self.faults[choice] += 1
            if choice == "down":
                self.issuer.down()
            elif isinstance(choice, Fault):
                self.issuer.fail(choice, on=chance.choice(("jwks", "metadata", "all")))
        self.issuer.up()
        self.issuer.recover()

    def ask(self, number: int) -> None:
        """One client: requests at its rate, most of them good."""
        chance, answers = random.Random(number), Counter[tuple[str, int]]()
        begun, asked = time.monotonic(), 0
        while not self.over.wait(max(0.0, begun + asked * THREADS / RATE - time.monotonic())):
            asked += 1
            (kind,) = chance.choices(("good", "forged", "expired", "unknown kid"), (85, 5, 5, 5))
            try:
                self.validator.validate(self.tokens[kind])
            except RequestRefused as refused:
                answers[kind, refused.status] += 1
            else:
                answers[kind, 200] += 1
        with self.counting:
            self.answers.update(answers)


def test_whatever_the_issuer_does_good_tokens_pass_and_bad_ones_do_not() -> None:
    with (
        LocalIssuer(algorithms=("ES256",)) as issuer,
        TokenValidator(Issuer(issuer.url, keys=POLICY), audience=issuer.audience) as validator,
    ):
        chaos = Chaos(issuer, validator)
        chaos.mint(issuer.kid())
        validator.warm_up()
        with ThreadPoolExecutor(THREADS + 1) as pool:
            running = [pool.submit(chaos.spoil), *(pool.submit(chaos.ask, number) for number in range(THREADS))]
            threading.Event().wait(SECONDS)
            chaos.over.set()
            for each in running:
                each.result()
        settle()
        fetches = issuer.requests.total()
    total = chaos.answers.total()
    logging.getLogger("chaos").warning(
        "%d requests in %.0f s, %.0f/s: %s; %d requests at the issuer, %d rotations, %s",
        total, SECONDS, total / SECONDS, dict(chaos.answers), fetches, chaos.rotations, dict(chaos.faults),
    )  # fmt: skip
    assert not fetching()
    assert set(chaos.answers) <= {
        ("good", 200),
        ("forged", 401),
        ("expired", 401),
        ("unknown kid", 401),
        ("unknown kid", 503),
    }
    assert chaos.answers["good", 200] > 50 * SECONDS
