"""All views of the gateway, by name."""

from services.gateway.gifts import GiftsView
from services.gateway.history import HistoryView
from services.gateway.subscriber_facts import SubscriberFactsView
from services.gateway.views import BalancesView, PartnerSpendView, TrialBalanceView, View

VIEWS: dict[str, type[View]] = {
    view.name: view
    for view in (
        BalancesView,
        PartnerSpendView,
        TrialBalanceView,
        HistoryView,
        SubscriberFactsView,
        GiftsView,
    )
}
# The services whose logs are followed, each by its own views alone.
SERVICES = tuple(dict.fromkeys(view.service for view in VIEWS.values()))
