-- Clawback: what comes back to a giver is an event that others may wait for.

CREATE INDEX stored_events_sagas_4_idx ON stored_events (notification_id) WHERE topic IN (
    'bank.ledger.data_held.v1', 'bank.ledger.hold_refused.v1', 'bank.ledger.hold_released.v1',
    'bank.ledger.data_transferred.v1', 'bank.ledger.transfer_refused.v1',
    'bank.ledger.data_received.v1', 'bank.ledger.arrival_refused.v1',
    'bank.ledger.transfer_returned.v1', 'bank.ledger.data_clawed_back.v1'
);
DROP INDEX IF EXISTS stored_events_sagas_2_idx, stored_events_sagas_3_idx;
