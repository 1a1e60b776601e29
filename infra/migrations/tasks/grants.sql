-- What tasks' processes may do in their schema.
GRANT USAGE ON SCHEMA {schema} TO {role};
-- The log: add and read. MAINTAIN allows the library's LOCK TABLE … IN EXCLUSIVE MODE, which keeps
-- the order of commits equal to the order of ids, without allowing UPDATE or DELETE.
GRANT SELECT, INSERT, MAINTAIN ON {schema}.stored_events TO {role};
GRANT USAGE ON SEQUENCE {schema}.stored_events_notification_id_seq TO {role};
GRANT USAGE ON TYPE {schema}.stored_event_uuid TO {role};
-- MAINTAIN: secrets that are sealed anew leave nothing of the old rows behind.
GRANT MAINTAIN ON {schema}.partner_keys TO {role};
-- What is given out once and never changes.
GRANT SELECT, INSERT ON
    {schema}.request_keys, {schema}.fundings, {schema}.content_lists, {schema}.task_tokens,
    {schema}.draw_seeds, {schema}.packs, {schema}.list_changes, {schema}.pool_growth
TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON
    {schema}.partners, {schema}.campaigns, {schema}.partner_keys, {schema}.claims,
    {schema}.campaign_days, {schema}.prizes_gone, {schema}.visits, {schema}.answers,
    {schema}.pack_orders, {schema}.pools, {schema}.pool_draws, {schema}.codes, {schema}.issues,
    {schema}.member_lists, {schema}.list_members, {schema}.list_feeds,
    {schema}.audience_takings, {schema}.audience_found,
    {schema}.inbox_positions, {schema}.relay_positions, {schema}.parked
TO {role};
