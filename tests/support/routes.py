"""Every route of the bank, service by service, without what answers them."""

from flask import Blueprint, Flask

from services.gateway import api as gateway_api
from services.gateway import audiences_api, spending_api
from services.gifting import api as gifting_api
from services.gifting import asks_api, packets_api
from services.ledger import api as ledger_api
from services.ledger import gifting_api as ledger_gifting_api
from services.ledger import offers_api, rules_api
from services.tasks import api as tasks_api
from services.tasks import campaigns_api, completions_api, lists_api, partners_api, supply_api
from services.tasks import tasks_api as claims_api
from shared.log_api import log_blueprint


def blueprints() -> dict[str, list[Blueprint]]:
    """Return each service's blueprints."""
    of_tasks = (
        tasks_api, partners_api, campaigns_api, claims_api, completions_api, supply_api, lists_api,
    )  # fmt: skip
    return {
        "ledger": [
            *(each.blueprint for each in (ledger_api, rules_api, ledger_gifting_api, offers_api)),
            log_blueprint(ledger_api.served),
        ],
        "gateway": [
            each.blueprint for each in (gateway_api, audiences_api, spending_api)
        ],
        "gifting": [
            *(each.blueprint for each in (gifting_api, packets_api, asks_api)),
            gifting_api.operating,
        ],
        "tasks": [*(each.blueprint for each in of_tasks), tasks_api.operating],
    }  # fmt: skip


def app_of(service: str) -> Flask:
    """Return an app with a service's routes."""
    app = Flask(service)
    for blueprint in blueprints()[service]:
        app.register_blueprint(blueprint)
    return app
