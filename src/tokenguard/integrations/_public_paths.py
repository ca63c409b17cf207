"""Which requests need no token, told by their paths."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from ..errors import ConfigurationError


class PublicPaths:
    """Paths that need no token: exact ones, and subtrees written as `/x/*`.

    Raises:
        ConfigurationError: one that would open more than it says, or never match.
    """

    def __init__(self, paths: Collection[str]) -> None:
        said: Any = paths  # what is annotated need not hold
        if isinstance(said, str) or not isinstance(said, Collection):
            raise ConfigurationError(f'public is {said!r}: a collection of paths, such as public=("/health",)')
        for path in said:
            if not isinstance(path, str):
                raise ConfigurationError(f"public path {path!r} is no string")
            subtree = path.removesuffix("/*")
            if not path.startswith("/") or "*" in subtree or _is_ambiguous(path) or not subtree:
                raise ConfigurationError(
                    f'public path {path!r}: write an exact, decoded path such as "/health", or a subtree such as '
                    '"/static/*"; what is all public needs no middleware'
                )
        self._exact = frozenset(path for path in paths if not path.endswith("/*"))
        self._subtrees = tuple(path[:-1] for path in paths if path.endswith("/*"))

    def include(self, path: str, mount: str, raw_path: bytes | None) -> bool:
        """Whether a request needs no token.

        A path that two readers may read differently is never public: what lies behind us may be the other reader.

        Args:
            path: decoded, with the mount in front of it or without (servers differ).
            mount: where the application is mounted, `root_path` or `SCRIPT_NAME`.
            raw_path: as it was sent; without it nobody can say what was encoded.
        """
        if raw_path is None or _is_ambiguous(path) or _ENCODED_SEPARATOR.search(raw_path):
            return False
        # As Starlette reads it, to the letter: else one route would be open in place of another.
        if mount and (path == mount or path.startswith(f"{mount}/")):
            path = path[len(mount) :]
        return path in self._exact or path.startswith(self._subtrees)


_ENCODED_SEPARATOR = re.compile(rb"%(?:2f|5c|25)", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"//|[\\;%\x00-\x1f\ufffd]|/\.{1,2}(?:/|\Z)")  # U+FFFD: bytes that are no UTF-8


def _is_ambiguous(path: str) -> bool:
    return _AMBIGUOUS.search(path) is not None
