-- View `history`: each event of an account's stream as one entry, numbered as its stream is.
CREATE TABLE history (
    account text NOT NULL,
    entry bigint NOT NULL,
    at bigint NOT NULL,
    kind text NOT NULL,
    bytes_in numeric NOT NULL,
    bytes_out numeric NOT NULL,
    balance numeric NOT NULL,
    -- [[lot_id, change of what is left, change of what is held], …]
    lots jsonb NOT NULL,
    -- What only some kinds have: lines, unfunded_bytes, counterparty, usage_id, code, plan, month.
    facts jsonb NOT NULL,
    actor text NOT NULL,
    reason text,
    PRIMARY KEY (account, entry)
);
-- Where each account's history ends: the next entry goes on from there.
CREATE TABLE history_ends (
    account text PRIMARY KEY,
    entries bigint NOT NULL,
    balance numeric NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE history_shadow (LIKE history INCLUDING ALL);
CREATE TABLE history_ends_shadow (LIKE history_ends INCLUDING ALL) WITH (fillfactor = 70);
