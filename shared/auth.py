"""Bearer tokens between the bank's processes: who is calling, and may they."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import g, request

from shared.errors import ForbiddenError, UnauthorizedError

F = TypeVar("F", bound=Callable[..., Any])


class Tokens:
    """The tokens that a process accepts, by caller name (operator, gateway, ledger, …)."""

    def __init__(self, tokens: dict[str, str]) -> None:
        self._tokens = {name: token.encode() for name, token in tokens.items() if token}

    def caller(self, authorization: str | None) -> str:
        """Return the caller's name. Raises UnauthorizedError."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer":
            found = None
            for name, known in self._tokens.items():
                if hmac.compare_digest(token.strip().encode(), known):
                    found = name
            if found is not None:
                return found
        raise UnauthorizedError


def only_for(callers: tuple[str, ...]) -> ForbiddenError:
    """Return the refusal of a route that is for others."""
    return ForbiddenError(f"this route is for: {', '.join(callers)}")


def allow(*callers: str) -> Callable[[F], F]:
    """Let only these callers use a route; without names, any caller with a valid token."""

    def decorate(view: F) -> F:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if callers and g.caller not in callers:
                raise only_for(callers)
            return view(*args, **kwargs)

        checked.databank_allow = callers  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


def signed(view: F) -> F:
    """Open a route to whoever signs its calls: no bearer token is asked for, the view checks."""
    view.databank_signed = True  # type: ignore[attr-defined]
    return view


def is_signed(view: Callable[..., Any] | None) -> bool:
    """Say whether a view checks a signature itself."""
    return getattr(view, "databank_signed", False)


def identify(tokens: Tokens) -> None:
    """Set `g.caller` for this request. Raises UnauthorizedError."""
    g.caller = tokens.caller(request.headers.get("Authorization"))
