"""What gifting is asked for once by its key, with what the ledger says of it."""

from services.gifting.domain.checks import Facts
from shared.sagas.requests import Asking
from shared.sagas.requests import Request as SagaRequest


class Request(SagaRequest):
    """A request that the ledger is asked about before its turn.

    `facts` is what the ledger says of it: None while the ledger is away, or need not be asked.
    """

    def __init__(self, asking: Asking) -> None:
        super().__init__(asking)
        self.facts: Facts | None = None
