-- Sponsored traffic: what campaigns pay for, hosts included (they are in no event), and who is
-- listed in it. `changes` grows with each version, so that a batch notices one by a sum.
CREATE TABLE offers (
    campaign text PRIMARY KEY,
    version bigint NOT NULL,
    changes bigint NOT NULL,
    offer bytea NOT NULL
);
CREATE TABLE offer_members (
    campaign text NOT NULL,
    account text NOT NULL,
    PRIMARY KEY (account, campaign)
);

CREATE INDEX stored_events_sagas_6_idx ON stored_events (notification_id) WHERE topic IN (
    'bank.ledger.data_held.v1', 'bank.ledger.hold_refused.v1', 'bank.ledger.hold_released.v1',
    'bank.ledger.data_transferred.v1', 'bank.ledger.transfer_refused.v1',
    'bank.ledger.data_received.v1', 'bank.ledger.arrival_refused.v1',
    'bank.ledger.transfer_returned.v1', 'bank.ledger.data_clawed_back.v1',
    'bank.ledger.refill_requested.v1', 'bank.ledger.quotas_recalled.v1',
    'bank.ledger.recall_answered.v1', 'bank.ledger.campaign_exhausted.v1',
    'bank.ledger.campaign_replenished.v1'
);
DROP INDEX IF EXISTS stored_events_sagas_4_idx;
