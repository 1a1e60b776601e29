-- Whether a key's secret is sealed. Those that lie in the clear are sealed when tasks' worker starts:
-- the keys for that are in no database.
ALTER TABLE partner_keys ADD COLUMN sealed boolean NOT NULL DEFAULT false;
