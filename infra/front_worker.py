"""Gunicorn's worker for an app with an event loop (shared/front.py)."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]


class FrontWorker(UvicornWorker):  # type: ignore[misc]
    """Uvicorn with its fast parts; access is counted by the app, not logged."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop", "http": "httptools", "ws": "none", "lifespan": "off",
        "access_log": False, "server_header": False, "date_header": False,
        "timeout_graceful_shutdown": 3,
    }  # fmt: skip
