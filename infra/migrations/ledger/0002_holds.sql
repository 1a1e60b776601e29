-- Holds: which accounts have one that times out, and the events that others wait for.

ALTER TABLE account_state ADD COLUMN next_deadline bigint;
CREATE INDEX account_state_deadline_idx ON account_state (next_deadline)
    WHERE next_deadline IS NOT NULL;

CREATE INDEX stored_events_sagas_2_idx ON stored_events (notification_id) WHERE topic IN (
    'bank.ledger.data_held.v1', 'bank.ledger.hold_refused.v1', 'bank.ledger.hold_released.v1',
    'bank.ledger.data_transferred.v1', 'bank.ledger.data_received.v1',
    'bank.ledger.arrival_refused.v1', 'bank.ledger.transfer_returned.v1'
);
DROP INDEX stored_events_sagas_idx;
