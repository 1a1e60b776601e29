-- A batch reads with one statement and writes with one. Nine took half of what a small batch costs
-- its process, and each is planned, described and answered on its own.

-- What a batch reads, in turn: after the lock each query sees what the writer before it committed.
-- Rows: `turn` (waited), `key` (key, body, stream, version, events), `state` (id, state, version,
-- format), `last` (the newest event, its sequence, the newest rules, the sum of offers' changes).
CREATE FUNCTION load_batch(
    schema text, lock_for text, hold_for text, space integer, number integer, keys bytea[],
    ids uuid[]
) RETURNS TABLE (
    what text, a bytea, b bytea, c bytea, m bigint, n bigint, o bigint, waited double precision
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    began CONSTANT timestamptz := clock_timestamp();
BEGIN
    PERFORM set_config('lock_timeout', lock_for, true), set_config('search_path', schema, true);
    PERFORM pg_advisory_xact_lock(space, number);
    -- From here on, as for the other services' turns: who waited long holds as long as any.
    IF hold_for <> '' THEN
        PERFORM set_config('transaction_timeout', hold_for, true);
    END IF;
    waited := extract(epoch FROM clock_timestamp() - began);
    RETURN QUERY
        SELECT 'turn', NULL::bytea, NULL::bytea, NULL::bytea, NULL::bigint, NULL::bigint,
            NULL::bigint, load_batch.waited
        UNION ALL
        SELECT 'key', k.key, k.body, uuid_send(k.stream), k.version, k.events::bigint, NULL, NULL
        FROM command_keys k WHERE k.key = ANY (load_batch.keys)
        UNION ALL
        SELECT 'state', uuid_send(s.id), s.state, NULL, s.version, s.format::bigint, NULL, NULL
        FROM account_state s WHERE s.id = ANY (load_batch.ids)
        UNION ALL
        (SELECT 'last', e.state, NULL, NULL, e.notification_id,
            (SELECT coalesce(max(r.version), 0) FROM rules r)::bigint,
            (SELECT coalesce(sum(f.changes), 0) FROM offers f)::bigint, NULL
        FROM stored_events e ORDER BY e.notification_id DESC LIMIT 1);
END $$;

-- What a batch writes: events (in the order of commits, as the library's lock sees to), the states
-- of their accounts, and the keys that are bound. Returns the last event's sequence.
CREATE FUNCTION store_batch(
    channel text,
    streams uuid[], versions bigint[], topics text[], events bytea[],
    format_now integer, ids uuid[], names text[], state_versions bigint[], deadlines bigint[],
    states bytea[],
    keys bytea[], bodies bytea[], key_streams uuid[], key_versions bigint[], key_events integer[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
BEGIN
    IF cardinality(streams) > 0 THEN
        LOCK TABLE stored_events IN EXCLUSIVE MODE;
        WITH inserted AS (
            INSERT INTO stored_events (originator_id, originator_version, topic, state)
            SELECT * FROM unnest(streams, versions, topics, events)
            RETURNING notification_id
        )
        SELECT max(notification_id) INTO newest FROM inserted;
        PERFORM pg_notify(channel, '');
        INSERT INTO account_state AS s (id, account, version, format, next_deadline, state)
        SELECT u.id, u.account, u.version, format_now, nullif(u.next_deadline, 0), u.state
        FROM unnest(ids, names, state_versions, deadlines, states)
            AS u(id, account, version, next_deadline, state)
        ON CONFLICT (id) DO UPDATE
        SET version = excluded.version, format = excluded.format,
            next_deadline = CASE excluded.next_deadline WHEN -1 THEN s.next_deadline
                ELSE excluded.next_deadline END,
            state = excluded.state;
    END IF;
    IF cardinality(keys) > 0 THEN
        INSERT INTO command_keys (key, body, stream, version, events)
        SELECT * FROM unnest(keys, bodies, key_streams, key_versions, key_events);
    END IF;
    RETURN newest;
END $$;
