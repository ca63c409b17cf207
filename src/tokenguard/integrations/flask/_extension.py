"""The extension: it validates the token of each request, and answers refusals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from flask import Flask, Request, Response, current_app, request

from ...errors import ConfigurationError, RequestRefused
from ...validator import TokenValidator
from .._answers import answer, hold
from .._authorization import credentials
from .._guard import check_options, check_validator
from .._verdict import TOKEN_KEY, Verdict, admit, bind
from ..wsgi import authorization
from ._marks import EXTENSION, VERDICT, asked, is_public

Step = Callable[..., Any]

_REFUSED: Final = "_tokenguard_refused"
_ARGUMENTS: Final = {"VALIDATOR": "validator", "REQUIRED": "required=True", "ISSUER_OF": "issuer_of=..."}


class TokenGuard:
    """The extension: validates the token of each request, before any function of the application.

    A token that is present and bad is refused. An absent one passes, unless `required`, and the views ask.

    Args:
        app: the application; or call `init_app` later, for as many applications as you like.
        validator: who decides; otherwise `app.config["TOKENGUARD"]`, a TokenValidator or its settings as a mapping.
        required: True asks for a token whatever is requested, unknown URLs, automatic OPTIONS and static files too;
            only views with `@public` are left out.
        issuer_of: where tenants have issuers and addresses of their own: a plain function from the request to the URL
            of the issuer whose tokens are good there, None if nobody's are. One tenant's token is then refused at
            another's address.

    Raises:
        ConfigurationError: an argument is not usable.

    Not checked: scopes; ask for those on the view.
    """

    def __init__(
        self,
        app: Flask | None = None,
        validator: TokenValidator | None = None,
        *,
        required: bool = False,
        issuer_of: Callable[[Request], str | None] | None = None,
    ) -> None:
        check_options(required, issuer_of)
        if validator is not None:
            check_validator(validator)
        self._validator = validator
        self._required = required
        self._issuer_of = issuer_of
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Guard an application.

        Raises:
            ConfigurationError: there is no usable validator, or the application is guarded already.
        """
        said: object = app  # what is annotated need not hold
        if not isinstance(said, Flask):
            raise ConfigurationError(f"app is {app!r}: TokenGuard(app, validator) takes a Flask application first")
        if EXTENSION in app.extensions:
            raise ConfigurationError(f"{app!r} has a TokenGuard already")
        validator = _configured(app.config.get("TOKENGUARD")) if self._validator is None else self._validator
        if RequestRefused not in app.error_handler_spec[None][None]:
            app.register_error_handler(RequestRefused, _respond)
        # Three methods that Flask's documentation lets one override. Its hooks do not reach as far: a `before_request`
        # function that was registered before ours would answer without a token, no hook is told of an exception that an
        # error handler dealt with, and the last of `after_request` need not be ours.
        answered = functools.partial(_answered, app, validator)
        vars(app).update(
            preprocess_request=functools.partial(
                answered, functools.partial(self._check, validator, app.preprocess_request)
            ),
            dispatch_request=functools.partial(answered, app.dispatch_request),
            process_response=functools.partial(_held_to_refusal, app.process_response),
        )
        app.extensions[EXTENSION] = self  # last: what failed half-way is no guard

    def _check(self, validator: TokenValidator, preprocess: Step, *args: Any) -> Any:
        """Validate the token, and ask for what is asked of it, when nothing has run but the matching of the URL."""
        # Kept with the request object: neither a client nor an outer layer nor another application has that one.
        verdict = Verdict(None, validator)
        setattr(request, VERDICT, verdict)
        request.environ[TOKEN_KEY] = None
        requirements = asked(current_app)
        if requirements or not is_public(current_app):
            text = credentials(authorization(request.environ), validator, required=self._required)
            if text is not None:
                token = validator.validate(text)
                if self._issuer_of is not None:
                    bind(token, self._issuer_of(request), validator)
                request.environ[TOKEN_KEY] = verdict.token = token
            for requirement in requirements:
                admit(verdict, requirement)
        return preprocess(*args)


def _answered(app: Flask, validator: TokenValidator, step: Step, *args: Any) -> Any:
    """Take one of Flask's steps (`args`: Flask 3.2 passes the context); the answer to a refusal is its result."""
    try:
        return step(*args)
    except RequestRefused as refused:
        if refused.realm is None:  # raised by the application
            validator.refuse(refused)
        setattr(request, _REFUSED, refused)
        # Flask's error handlers, by the method of the class: Flask-RESTful and Flask-RESTX put one on the instance that
        # makes a 500 of it. A handler that returns None fails here; as a result, None would let Flask call the view.
        handle: Step = type(app).handle_user_exception
        return app.make_response(handle(app, *args, refused))


def _respond(refused: RequestRefused) -> Response:
    """The error handler of refusals, where the application has none."""
    response = answer(refused, request.method)
    return current_app.response_class(response.body, response.status, response.headers)


def _held_to_refusal(process: Step, *args: Any) -> Any:
    """Process a response. Whatever became of the answer to a refusal, it is one."""
    response = process(*args)
    refused = getattr(request, _REFUSED, None)
    if refused is not None:
        response.status_code = refused.status
        hold(response.headers, refused)
    return response


def _configured(said: Any) -> TokenValidator:
    if said is None:
        raise ConfigurationError('no validator: TokenGuard(app, validator), or app.config["TOKENGUARD"] = validator')
    if isinstance(said, Mapping):
        from ...settings import validator_from

        for key in said:
            argument = _ARGUMENTS.get(str(key).upper())
            if argument is not None:  # a key in Django's settings
                raise ConfigurationError(
                    f"TOKENGUARD[{key!r}] is no setting but an argument: TokenGuard(app, {argument})"
                )
        said = validator_from(said)
    check_validator(said)
    return cast(TokenValidator, said)
