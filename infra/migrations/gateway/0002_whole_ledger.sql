-- Status and change of plan of an account.
ALTER TABLE balances ADD COLUMN status text NOT NULL DEFAULT 'active';
ALTER TABLE balances ADD COLUMN next_plan text;
ALTER TABLE balances ADD COLUMN next_plan_from text;
ALTER TABLE balances_shadow ADD COLUMN status text NOT NULL DEFAULT 'active';
ALTER TABLE balances_shadow ADD COLUMN next_plan text;
ALTER TABLE balances_shadow ADD COLUMN next_plan_from text;
