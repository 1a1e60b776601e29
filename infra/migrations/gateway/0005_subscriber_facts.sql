-- View `subscriber_facts`: what an audience's rule asks about, as compact as a million allow.
CREATE TABLE subscriber_facts (
    account text PRIMARY KEY,
    opened_at bigint NOT NULL,
    status text NOT NULL DEFAULT 'active',
    -- The latest usage, by the record's own time; 0: none yet.
    last_used_at bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
-- Which plan is in force from which month on.
CREATE TABLE subscriber_plans (
    account text NOT NULL,
    from_month text NOT NULL,
    plan text NOT NULL,
    PRIMARY KEY (account, from_month)
);
-- By month: what was used in it, and what was left at its close (carried over or expired).
CREATE TABLE subscriber_months (
    month text NOT NULL,
    account text NOT NULL,
    used_bytes bigint NOT NULL DEFAULT 0,
    unused_bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (month, account)
) WITH (fillfactor = 80);
CREATE TABLE subscriber_facts_shadow (LIKE subscriber_facts INCLUDING ALL) WITH (fillfactor = 80);
CREATE TABLE subscriber_plans_shadow (LIKE subscriber_plans INCLUDING ALL);
CREATE TABLE subscriber_months_shadow (LIKE subscriber_months INCLUDING ALL) WITH (fillfactor = 80);
