-- View `balances`: in which hours of the day a lot can be used; null: in all. The version before
-- goes on without it. The view is folded anew from the first event on: the worker finds no position
-- and pulls.
ALTER TABLE lots ADD COLUMN hours jsonb;
ALTER TABLE lots_shadow ADD COLUMN hours jsonb;
TRUNCATE balances, lots, sponsored;
DELETE FROM inbox_positions WHERE consumer = 'balances';
DELETE FROM parked WHERE consumer = 'balances';
