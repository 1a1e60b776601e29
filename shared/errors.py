"""The one tree of refusals and failures; each has a stable code and an HTTP status."""

from typing import Any


class DatabankError(Exception):
    """Something went wrong in the bank."""

    code = "internal_error"
    status = 500

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or (self.__doc__ or "").strip().splitlines()[0]
        self.extra = extra
        super().__init__(self.detail)


class RefusedError(DatabankError):
    """The bank refuses this; nothing was changed."""

    code = "refused"
    status = 422

    def __init__(self, code: str, detail: str, status: int = 422, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.code = code
        self.status = status


class InvalidError(DatabankError):
    """The request is malformed; nothing was done."""

    code = "invalid_request"
    status = 422


class NotFoundError(DatabankError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class ConflictError(DatabankError):
    """This key was used before with other terms."""

    code = "conflict"
    status = 409


class UnauthorizedError(DatabankError):
    """A valid bearer token is needed."""

    code = "unauthorized"
    status = 401


class ForbiddenError(DatabankError):
    """This caller may not do that."""

    code = "forbidden"
    status = 403


class TooLargeError(DatabankError):
    """The body is larger than this route takes."""

    code = "body_too_large"
    status = 413


class UnavailableError(DatabankError):
    """A part that this needs is not reachable now; nothing is lost, try again."""

    code = "unavailable"
    status = 503


class BusyError(UnavailableError):
    """Another writer holds this partition; nothing was stored, try again."""

    code = "busy"
