-- Tasks: one log of partners, campaigns, claims and orders, and what is looked up beside it.

-- The event log: the table, type and index of eventsourcing 9.5's PostgresApplicationRecorder.
CREATE TABLE stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id ASC);
CREATE TYPE stored_event_uuid AS (
    originator_id uuid, originator_version bigint, topic text, state bytea
);

-- Lane `sagas`: what the ledger acts on.
CREATE INDEX stored_events_sagas_idx ON stored_events (notification_id) WHERE topic IN (
    'bank.tasks.partner_registered.v1', 'bank.tasks.data_bought.v1',
    'bank.tasks.campaign_approved.v1', 'bank.tasks.campaign_funded.v1',
    'bank.tasks.campaign_ended.v1', 'bank.tasks.claim_accepted.v1',
    'bank.tasks.clawback_asked.v1', 'bank.tasks.pack_order_paid.v1',
    'bank.tasks.pack_issued.v1'
);

-- The log is only ever added to, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER stored_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An Idempotency-Key (with its caller), the hash of what was asked, and what it is about.
CREATE TABLE request_keys (
    key bytea PRIMARY KEY,
    body bytea NOT NULL,
    subject uuid NOT NULL
);

-- The partners and campaigns as their events leave them: what is listed and found by name.
-- Instants are milliseconds since 1970-01-01Z.
CREATE TABLE partners (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    sponsor_id text NOT NULL,
    state text NOT NULL,
    asked_at bigint NOT NULL,
    changed_at bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX partners_page_idx ON partners (asked_at, id);

CREATE TABLE campaigns (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    partner text NOT NULL,
    asp_id text NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    -- The version of what is sponsored that the ledger has to know, 0 where there is nothing.
    offer_version integer NOT NULL,
    -- The one that every partition of the ledger has taken in. Not in the log: who has put it, knows.
    offer_known integer NOT NULL DEFAULT 0,
    asked_at bigint NOT NULL,
    changed_at bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX campaigns_page_idx ON campaigns (asked_at, id);
CREATE INDEX campaigns_partner_idx ON campaigns (partner, asked_at, id);
CREATE INDEX campaigns_offer_idx ON campaigns (name) WHERE offer_known < offer_version;

-- Fundings under way and done: the ledger answers by a funding's id.
CREATE TABLE fundings (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL
);

-- The keys with which partners' apps sign. Secrets are here alone. They count by wall time
-- (milliseconds), as signatures do; in a sandbox bank time is another.
CREATE TABLE partner_keys (
    key_id text PRIMARY KEY,
    partner text NOT NULL,
    asp_id text NOT NULL,
    secret bytea NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint
);
CREATE INDEX partner_keys_partner_idx ON partner_keys (partner);

-- The lists of host patterns that campaigns sponsor, by version. No log has them.
CREATE TABLE content_lists (
    campaign text NOT NULL,
    version integer NOT NULL,
    hosts text[] NOT NULL,
    hosts_digest text NOT NULL,
    PRIMARY KEY (campaign, version)
);

CREATE TABLE inbox_positions (
    consumer text NOT NULL,
    source text NOT NULL,
    lane text NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (consumer, source, lane)
);

CREATE TABLE relay_positions (
    lane text PRIMARY KEY,
    sequence bigint NOT NULL
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
