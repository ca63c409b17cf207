"""Flask: bare, with tokenguard's extension, with a decorator written by hand, and with Authlib's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, Response, abort, g, request

from tokenguard.integrations.flask import TokenGuard, current_token, require_scopes, require_token

from . import PATH, SCOPE, Setting, by_hand, validator_for

View = Callable[[], Any]


def bare(setting: Setting) -> Flask:
    return _serving(lambda: {"caller": "nobody"})


def guarded(setting: Setting) -> Flask:
    app = _serving(require_token(_caller))
    TokenGuard(app, validator_for(setting))
    return app


def guarded_with_scopes(setting: Setting) -> Flask:
    app = _serving(require_scopes(SCOPE)(_caller))
    TokenGuard(app, validator_for(setting))
    return app


def with_pyjwt(setting: Setting) -> Flask:
    import jwt

    decode = by_hand.decoder(setting)

    def token_required(view: View) -> View:
        @wraps(view)
        def wrapped() -> Any:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            try:
                if scheme.lower() != "bearer":
                    raise jwt.InvalidTokenError
                g.claims = decode(token)
            except jwt.PyJWTError:
                abort(Response(status=401, headers={"WWW-Authenticate": "Bearer"}))
            return view()

        return wrapped

    return _serving(token_required(lambda: {"caller": g.claims["sub"]}))


def with_authlib(setting: Setting) -> Flask:
    import httpx
    from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
    from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
    from joserfc.jwk import KeySet

    # Once, and as keys: what it is given as JSON it would read again with each request.
    keys = KeySet.import_key_set(httpx.get(setting.jwks_uri, trust_env=False).json())

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc] # untyped
        def get_jwks(self) -> KeySet:
            return keys

    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(Validator(issuer=setting.issuer, resource_server=setting.audience))
    return _serving(require_oauth(SCOPE)(lambda: {"caller": current_token["sub"]}))


def _caller() -> dict[str, str]:
    return {"caller": current_token.subject or ""}


def _serving(view: View) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.add_url_rule(PATH, "things", view)
    return app
