-- Gifting: one log of all gifts, red packets and asks, and what is looked up beside it.

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
    'bank.gifting.gift_offered.v1', 'bank.gifting.gift_accepted.v1',
    'bank.gifting.gift_declined.v1', 'bank.gifting.gift_cancelled.v1',
    'bank.gifting.red_packet_offered.v1', 'bank.gifting.share_claimed.v1'
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

-- The gifts as their events leave them: what lists and limits are read from. Amounts are bytes,
-- instants milliseconds since 1970-01-01Z. `counts`: it uses up limits (a gift that never left its
-- sender does not).
CREATE TABLE gifts (
    id uuid PRIMARY KEY,
    sender text NOT NULL,
    receiver text NOT NULL,
    bytes bigint NOT NULL,
    state text NOT NULL,
    counts boolean NOT NULL,
    asked_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    -- When the sender's account began, where the ledger was there to tell.
    sender_opened_at bigint,
    -- When somebody must look at it again: the deadline of a job, null where nobody need.
    due_at bigint
) WITH (fillfactor = 80);
CREATE INDEX gifts_sender_idx ON gifts (sender, asked_at, id);
CREATE INDEX gifts_pair_idx ON gifts (sender, receiver);
CREATE INDEX gifts_receiver_idx ON gifts (receiver, asked_at, id);
CREATE INDEX gifts_due_idx ON gifts (due_at) WHERE due_at IS NOT NULL;

-- Red packets. The seed of the split is kept here alone until the packet has ended.
CREATE TABLE red_packets (
    id uuid PRIMARY KEY,
    token_hash text NOT NULL UNIQUE,
    sender text NOT NULL,
    bytes bigint NOT NULL,
    shares integer NOT NULL,
    state text NOT NULL,
    counts boolean NOT NULL,
    asked_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    seed bytea NOT NULL,
    due_at bigint
) WITH (fillfactor = 80);
CREATE INDEX red_packets_sender_idx ON red_packets (sender, asked_at, id);
CREATE INDEX red_packets_due_idx ON red_packets (due_at) WHERE due_at IS NOT NULL;

-- Claims of shares: the ledger answers by a claim's id.
CREATE TABLE claims (
    id uuid PRIMARY KEY,
    packet_id uuid NOT NULL,
    receiver text NOT NULL,
    counts boolean NOT NULL,
    claimed_at bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX claims_receiver_idx ON claims (receiver, claimed_at);

CREATE TABLE asks (
    id uuid PRIMARY KEY,
    asker text NOT NULL,
    giver text NOT NULL,
    bytes bigint NOT NULL,
    state text NOT NULL,
    asked_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    due_at bigint
) WITH (fillfactor = 80);
CREATE INDEX asks_asker_idx ON asks (asker, asked_at, id);
CREATE INDEX asks_giver_idx ON asks (giver, asked_at, id);
CREATE INDEX asks_due_idx ON asks (due_at) WHERE due_at IS NOT NULL;

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
