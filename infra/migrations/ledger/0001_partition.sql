-- One partition of the ledger; applied once per partition schema.

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

-- Lane `sagas`: what other partitions and services wait for, found without reading all usage.
CREATE INDEX stored_events_sagas_idx ON stored_events (notification_id) WHERE topic IN (
    'bank.ledger.data_transferred.v1', 'bank.ledger.data_received.v1',
    'bank.ledger.arrival_refused.v1', 'bank.ledger.transfer_returned.v1'
);

-- The log is only ever added to, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER stored_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A command's or usage record's key, the hash of its body, and the events it made.
CREATE TABLE command_keys (
    key bytea PRIMARY KEY,
    body bytea NOT NULL,
    stream uuid NOT NULL,
    version bigint NOT NULL,
    events integer NOT NULL
);

-- The accounts as their events leave them: derived from the log, rebuilt where the format differs.
CREATE TABLE account_state (
    id uuid PRIMARY KEY,
    account text NOT NULL,
    version bigint NOT NULL,
    format smallint NOT NULL,
    state bytea NOT NULL
) WITH (
    fillfactor = 70,
    -- Compressing a state costs ten times what writing it does; up to 8 kB it stays in its row.
    toast_tuple_target = 8160
);
CREATE UNIQUE INDEX account_state_account_idx ON account_state (account);

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

-- How far a job (a month's cycle or close) has come in this partition.
CREATE TABLE jobs (
    name text PRIMARY KEY,
    done boolean NOT NULL DEFAULT false
);
