-- The gateway's read models. Every table here can be thrown away and rebuilt from the logs.

CREATE TABLE balances (
    account text PRIMARY KEY,
    log text NOT NULL,
    kind text NOT NULL,
    plan text,
    opened_at bigint NOT NULL,
    earned bigint NOT NULL,
    received bigint NOT NULL,
    returned bigint NOT NULL,
    spent bigint NOT NULL,
    unfunded bigint NOT NULL,
    transferred bigint NOT NULL,
    expired bigint NOT NULL,
    adjusted bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE lots (
    account text NOT NULL,
    lot_id text NOT NULL,
    kind text NOT NULL,
    granted bigint NOT NULL,
    remaining bigint NOT NULL CHECK (remaining >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND remaining),
    valid_from bigint NOT NULL,
    expires_at bigint NOT NULL,
    scope text NOT NULL,
    giftable boolean NOT NULL,
    carries boolean NOT NULL,
    source jsonb NOT NULL,
    parent_lot text,
    PRIMARY KEY (account, lot_id)
) WITH (fillfactor = 70);
CREATE INDEX lots_left_idx ON lots (expires_at) WHERE remaining > 0;

CREATE TABLE partner_spend (
    partner text NOT NULL,
    campaign text NOT NULL,
    day text NOT NULL,
    kind text NOT NULL,
    bytes bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (partner, campaign, day, kind)
);

-- Who was reached, to count each subscriber once.
CREATE TABLE partner_spend_subscribers (
    partner text NOT NULL,
    campaign text NOT NULL,
    day text NOT NULL,
    kind text NOT NULL,
    subscriber text NOT NULL,
    PRIMARY KEY (partner, campaign, day, kind, subscriber)
);

CREATE TABLE trial_balance (
    log text NOT NULL,
    kind text NOT NULL,
    accounts bigint NOT NULL,
    earned bigint NOT NULL,
    received bigint NOT NULL,
    returned bigint NOT NULL,
    spent bigint NOT NULL,
    unfunded bigint NOT NULL,
    transferred bigint NOT NULL,
    expired bigint NOT NULL,
    adjusted bigint NOT NULL,
    remaining bigint NOT NULL,
    held bigint NOT NULL,
    PRIMARY KEY (log, kind)
);

-- Bytes that departed and neither arrived nor came back, by transfer.
CREATE TABLE transfers_in_transit (
    transfer_id text PRIMARY KEY,
    bytes bigint NOT NULL
);

CREATE TABLE inbox_positions (
    consumer text NOT NULL,
    source text NOT NULL,
    lane text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (consumer, source, lane)
);

CREATE TABLE parked (
    consumer text NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    account text NOT NULL,
    event jsonb NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    parked_at bigint NOT NULL,
    PRIMARY KEY (consumer, source, sequence)
);
