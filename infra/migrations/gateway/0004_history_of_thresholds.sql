-- Entries of thresholds tell more now, so the view is folded anew from the first event on: the
-- worker finds no position and pulls.
TRUNCATE history, history_ends;
DELETE FROM inbox_positions WHERE consumer = 'history';
DELETE FROM parked WHERE consumer = 'history';
