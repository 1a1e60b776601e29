"""All views of the gateway, by name."""

from services.gateway.campaigns import CampaignsView
from services.gateway.gifts import GiftsView
from services.gateway.history import HistoryView
from services.gateway.partners import PartnersView
from services.gateway.spend import PartnerSpendView
from services.gateway.subscriber_facts import SubscriberFactsView
from services.gateway.views import BalancesView, TrialBalanceView, View

VIEWS: dict[str, type[View]] = {
    view.name: view
    for view in (
        BalancesView,
        PartnerSpendView,
        TrialBalanceView,
        HistoryView,
        CampaignsView,
        SubscriberFactsView,
        GiftsView,
        PartnersView,
    )
}
# The services whose logs are followed, each by its own views alone.
SERVICES = tuple(dict.fromkeys(view.service for view in VIEWS.values()))
