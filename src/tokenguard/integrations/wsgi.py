"""The middleware for any WSGI application (PEP 3333). It needs no framework.

def app(environ, start_response):
    token = get_token(environ)

app = TokenGuardMiddleware(app, validator)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any
from urllib.parse import unquote_to_bytes

from ..errors import RequestRefused
from ..requirements import ANY_TOKEN
from ..token import AccessToken
from ._answers import answer
from ._authorization import credentials
from ._guard import Guard
from ._public_paths import PublicPaths
from ._verdict import TOKEN_KEY, VERDICT_KEY, Verdict, admit, bind, name_and_log

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_RAW_PATHS = ("RAW_URI", "REQUEST_URI")
"""Where servers put the request's target as it was sent: gunicorn; uwsgi, waitress, mod_wsgi, CGI."""

_PHRASES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}


class TokenGuardMiddleware(Guard[WSGIApp, Environ]):
    """Lets a request through only with a valid access token in its `Authorization` header.

    The application finds the validated token in its environ, under `"tokenguard.token"`, or with `get_token`. A refusal
    that it raises is the answer until something of its body was sent, and where it is a generator, until its first
    chunk. What it returns after it called `start_response` is handed on as it is: a refusal in there is the server's.

    Not checked: scopes; ask for those on the route.
    """

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            text = self._credentials(environ)
            token = None if text is None else self.validator.validate(text)
            if self._issuer_of is not None and token is not None:
                bind(token, self._issuer_of(environ), self.validator)
        except RequestRefused as refused:
            return _refuse(refused, environ, start_response)
        # On a copy: what an outer layer holds is not ours to change, and whatever it put under our keys is gone.
        inner = {**environ, TOKEN_KEY: token, VERDICT_KEY: Verdict(token, self.validator)}
        begun = False

        def begin(*response: Any, **more: Any) -> Callable[[bytes], object]:
            nonlocal begun
            begun = True
            return start_response(*response, **more)

        try:
            body = self.app(inner, begin)
            # Handed on as it is, for a server knows its own `wsgi.file_wrapper` by identity. Without a response yet, it
            # is a generator or its like: it begins one with its first chunk, and until then may refuse.
            return body if begun else _Resumed(body)
        except RequestRefused as refused:
            # PEP 3333, "Error Handling": headers wait for the body, and a server takes others for them. Where they are
            # gone, it raises what it is told here.
            more = [sys.exc_info()] if begun else []
            return _refuse(name_and_log(refused, inner[VERDICT_KEY]), environ, start_response, *more)

    def _credentials(self, environ: Environ) -> bytes | None:
        """The token's text; None where a request may come without."""
        if self._public is not None and _is_public(environ, self._public):
            return None
        return credentials(authorization(environ), self.validator, required=self._required)


def get_token(environ: Environ) -> AccessToken:
    """The validated token of this request.

    Raises:
        MissingToken: it came without one, under `required=False` or on a public path.
        ConfigurationError: no TokenGuardMiddleware saw this request.
    """
    return admit(environ.get(VERDICT_KEY), ANY_TOKEN)


def authorization(environ: Environ) -> list[bytes]:
    """The value of the `Authorization` field, of several as the server joined them."""
    value = environ.get("HTTP_AUTHORIZATION")
    return [] if value is None else [_bytes(value)]


def _bytes(text: str) -> bytes:
    # PEP 3333: bytes in the guise of Latin-1. Any other text is a server's fault, gets a backslash, and means nothing.
    return text.encode("latin-1", "backslashreplace")


def _is_public(environ: Environ, public: PublicPaths) -> bool:
    """Whether a request needs no token.

    The application routes by `PATH_INFO`, which is decoded: no slash in it tells whether it was an encoded one. Where
    the server hands on what was sent as well, whoever is behind us may read that instead, so it has to say the same and
    hide nothing. Where it does not, `PATH_INFO` is all that anybody behind us has, and has one reading.
    """
    path = _bytes(environ.get("PATH_INFO", ""))
    whole = _bytes(environ.get("SCRIPT_NAME", "")) + path
    sent = [_bytes(environ[name]).partition(b"?")[0] for name in _RAW_PATHS if name in environ]
    for raw in sent:
        said = unquote_to_bytes(raw)
        # A mount that a proxy took away stands in front of `SCRIPT_NAME` alone; otherwise both are the same.
        if not (whole.endswith(said) and said.endswith(path)):
            return False
    return public.include(path.decode("utf-8", "replace"), "", b"".join(sent))


def _refuse(
    refused: RequestRefused, environ: Environ, start_response: StartResponse, *exc_info: object
) -> Iterable[bytes]:
    response = answer(refused, environ.get("REQUEST_METHOD"))
    status = f"{response.status} {_PHRASES.get(response.status, 'Refused')}"
    start_response(status, list(response.headers.items()), *exc_info)
    return [response.body]


class _Resumed:
    """An application's iterable, of which the first chunk has been taken."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        try:
            chunks = iter(body)
            self._chunks = chain(list(islice(chunks, 1)), chunks)
        except BaseException:
            self.close()  # the server never gets it
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
