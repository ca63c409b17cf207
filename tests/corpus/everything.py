"""All cases there are."""

from __future__ import annotations

from typing import Final

from tests.corpus import claim_values, headers, json_text, key_hints, legitimate, scopes, shape, signatures, times
from tests.corpus.case import Case

MODULES = (legitimate, shape, json_text, headers, key_hints, signatures, times, claim_values, scopes)
ALL_CASES: Final[list[Case]] = [case for module in MODULES for case in module.CASES]
