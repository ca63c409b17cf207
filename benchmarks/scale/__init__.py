"""How cost grows: with keys, issuers, scopes, tokens, their size, threads, processes, refreshes and floods."""

from __future__ import annotations

from collections.abc import Iterator

from ..measuring import Section


def sections(*, quick: bool) -> Iterator[Section]:
    """All of them, and what importing costs."""
    from .. import import_cost
    from . import disturbance, memory, parallel, sizes

    for part in (sizes, memory, parallel, disturbance, import_cost):
        yield from part.sections(quick=quick)
