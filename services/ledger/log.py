"""The ledger's logs as lanes of CloudEvents: served to the gateway, published by the relay."""

from services.ledger.partition import Partition
from shared.bus.stored_log import StoredLog
from shared.contracts.envelope import source_of
from shared.contracts.ledger import SAGA_TYPES


class PartitionLog(StoredLog):
    """One partition's log, read from its database."""

    def __init__(self, partition: Partition, bank_id: str, epoch: int) -> None:
        source = source_of(bank_id, epoch, partition.name)
        super().__init__(partition.name, source, partition.connection, SAGA_TYPES)
