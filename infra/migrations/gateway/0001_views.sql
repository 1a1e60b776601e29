-- The gateway's views. Amounts are bytes, instants milliseconds since 1970-01-01Z.
-- Every table of a view has a twin `…_shadow`: a rebuild fills the twins and swaps the names, so
-- that indexes keep the name that they were made with. Whoever changes a table changes its twin.

-- View `balances`: the accounts and their lots; a lot's row stays when nothing is left in it.
CREATE TABLE balances (
    account text PRIMARY KEY,
    kind text NOT NULL,
    plan text,
    partner text,
    active_from text,
    opened_at bigint NOT NULL
);
CREATE TABLE lots (
    account text NOT NULL,
    lot_id text NOT NULL,
    kind text NOT NULL,
    granted bigint NOT NULL,
    remaining bigint NOT NULL CHECK (remaining >= 0),
    held bigint NOT NULL CHECK (held >= 0),
    valid_from bigint NOT NULL,
    expires_at bigint NOT NULL,
    granted_at bigint NOT NULL,
    scope jsonb NOT NULL,
    giftable boolean NOT NULL,
    carries boolean NOT NULL,
    source jsonb NOT NULL,
    parent_lot text,
    PRIMARY KEY (account, lot_id)
) WITH (fillfactor = 80);

-- View `partner_spend`: what partners' campaigns delivered, by bank day of `recorded_at` and kind.
CREATE TABLE spend_partners (
    partner text PRIMARY KEY
);
CREATE TABLE partner_spend (
    partner text NOT NULL,
    campaign text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    bytes numeric NOT NULL,
    count bigint NOT NULL,
    subscribers bigint NOT NULL,
    PRIMARY KEY (partner, campaign, day, kind)
) WITH (fillfactor = 80);
-- Who is counted in `subscribers` already.
CREATE TABLE partner_subscribers (
    partner text NOT NULL,
    campaign text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    subscriber text NOT NULL,
    PRIMARY KEY (partner, campaign, day, kind, subscriber)
);

-- View `trial_balance`: sums by log and kind of account; numeric, as many lots outgrow a bigint.
CREATE TABLE trial_balance (
    log text NOT NULL,
    account_kind text NOT NULL,
    accounts bigint NOT NULL,
    earned numeric NOT NULL,
    received numeric NOT NULL,
    returned numeric NOT NULL,
    spent numeric NOT NULL,
    unfunded numeric NOT NULL,
    transferred numeric NOT NULL,
    expired numeric NOT NULL,
    adjusted numeric NOT NULL,
    PRIMARY KEY (log, account_kind)
) WITH (fillfactor = 50);
-- When each lot ends, as events name a lot by its id alone.
CREATE TABLE trial_lots (
    account text NOT NULL,
    lot_id text NOT NULL,
    log text NOT NULL,
    account_kind text NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (account, lot_id)
);
-- What is left by expiry: available or lapsed is a matter of the reader's clock.
CREATE TABLE trial_remaining (
    log text NOT NULL,
    account_kind text NOT NULL,
    expires_at bigint NOT NULL,
    remaining numeric NOT NULL,
    held numeric NOT NULL,
    PRIMARY KEY (log, account_kind, expires_at)
) WITH (fillfactor = 50);
CREATE INDEX ON trial_remaining (remaining) WHERE remaining = 0 AND held = 0;
-- Transfers that departed and neither arrived nor came back. Below zero: an arrival is known
-- before its departure, which is in another log.
CREATE TABLE transfers_in_transit (
    transfer_id text PRIMARY KEY,
    bytes numeric NOT NULL
);
CREATE INDEX ON transfers_in_transit (bytes) WHERE bytes = 0;

CREATE TABLE balances_shadow (LIKE balances INCLUDING ALL);
CREATE TABLE lots_shadow (LIKE lots INCLUDING ALL) WITH (fillfactor = 80);
CREATE TABLE spend_partners_shadow (LIKE spend_partners INCLUDING ALL);
CREATE TABLE partner_spend_shadow (LIKE partner_spend INCLUDING ALL) WITH (fillfactor = 80);
CREATE TABLE partner_subscribers_shadow (LIKE partner_subscribers INCLUDING ALL);
CREATE TABLE trial_balance_shadow (LIKE trial_balance INCLUDING ALL) WITH (fillfactor = 50);
CREATE TABLE trial_lots_shadow (LIKE trial_lots INCLUDING ALL);
CREATE TABLE trial_remaining_shadow (LIKE trial_remaining INCLUDING ALL) WITH (fillfactor = 50);
CREATE TABLE transfers_in_transit_shadow (LIKE transfers_in_transit INCLUDING ALL);

-- How far each view is, and what it has put aside; a rebuild under way has its own rows.
CREATE TABLE inbox_positions (
    consumer text NOT NULL,
    source text NOT NULL,
    lane text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (consumer, source, lane)
) WITH (fillfactor = 50);
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

-- Swaps tables with their shadows; grants go with the tables. It runs with its owner's rights, so
-- that the service's role needs none on the schema itself.
CREATE FUNCTION swap_with_shadows(tables text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    place text := current_schema();
    one text;
BEGIN
    FOREACH one IN ARRAY tables LOOP
        IF to_regclass(format('%I.%I', place, one || '_shadow')) IS NULL THEN
            RAISE EXCEPTION 'no table % with a shadow', one;
        END IF;
        EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', place, one);
    END LOOP;
    FOREACH one IN ARRAY tables LOOP
        EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', place, one, one || '_retired');
        EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', place, one || '_shadow', one);
        EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', place, one || '_retired', one || '_shadow');
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION swap_with_shadows(text[]) FROM PUBLIC;
