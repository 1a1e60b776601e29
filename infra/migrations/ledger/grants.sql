-- What the ledger's processes may do in a partition's schema.
GRANT USAGE ON SCHEMA {schema} TO {role};
-- The log: add and read. MAINTAIN allows the library's LOCK TABLE … IN EXCLUSIVE MODE, which keeps
-- the order of commits equal to the order of ids, without allowing UPDATE or DELETE.
GRANT SELECT, INSERT, MAINTAIN ON {schema}.stored_events TO {role};
GRANT USAGE ON SEQUENCE {schema}.stored_events_notification_id_seq TO {role};
GRANT USAGE ON TYPE {schema}.stored_event_uuid TO {role};
GRANT SELECT, INSERT ON {schema}.command_keys TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON
    {schema}.account_state, {schema}.inbox_positions, {schema}.relay_positions,
    {schema}.parked, {schema}.jobs
TO {role};
GRANT SELECT, INSERT ON {schema}.rules TO {role};
GRANT SELECT, INSERT, UPDATE ON {schema}.offers TO {role};
GRANT SELECT, INSERT, DELETE ON {schema}.offer_members TO {role};
