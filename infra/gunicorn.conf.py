"""How every web process is served; its service is read from the command line."""

import logging
import sys

from shared.config import load_settings

settings = load_settings()
service = next(
    name
    for name in ("ledger", "gateway", "gifting", "tasks")
    if f"services.{name}." in " ".join(sys.argv)
)

bind = f"{settings.bind_host}:{getattr(settings, f'{service}_port')}"
# The ledger's single commands are answered on an event loop (shared/front.py).
worker_class = (
    "infra.front_worker.FrontWorker" if service == "ledger" else "infra.web_worker.LingeringWorker"
)
workers = 1
threads = 32
timeout = 0  # Streams and long polls take as long as they take.
graceful_timeout = 3
keepalive = 30
backlog = 512
preload_app = False
control_socket_disable = True
proc_name = f"databank-{service}-web"
loglevel = logging.getLevelName(logging.WARNING).lower()
