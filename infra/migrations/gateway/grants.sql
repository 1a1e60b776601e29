-- What the gateway's processes may do in their schema. The read models are the gateway's own, so
-- that a rebuild can put a new table in an old one's place.
GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.inbox_positions, {schema}.parked TO {role};
ALTER TABLE {schema}.balances OWNER TO {role};
ALTER TABLE {schema}.lots OWNER TO {role};
ALTER TABLE {schema}.partner_spend OWNER TO {role};
ALTER TABLE {schema}.partner_spend_subscribers OWNER TO {role};
ALTER TABLE {schema}.trial_balance OWNER TO {role};
ALTER TABLE {schema}.transfers_in_transit OWNER TO {role};
