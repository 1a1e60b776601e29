-- View `campaigns`: which partners and campaigns have little left, since the ledger told so.
CREATE TABLE fund_alarms (
    account text PRIMARY KEY,
    percent integer NOT NULL,
    told_at bigint NOT NULL,
    level_bytes bigint NOT NULL
);
CREATE TABLE fund_alarms_shadow (LIKE fund_alarms INCLUDING ALL);
