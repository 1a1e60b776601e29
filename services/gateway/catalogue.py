"""All views of the gateway, by name."""

from collections.abc import Callable

from services.gateway.history import HistoryView
from services.gateway.views import BalancesView, PartnerSpendView, TrialBalanceView, View

MakeView = Callable[..., View]
VIEWS: dict[str, MakeView] = {
    view.name: view for view in (BalancesView, PartnerSpendView, TrialBalanceView, HistoryView)
}
