-- A grant that could not be paid is tried again within its month: of all attempts at most one is on
-- its way or has arrived.
CREATE UNIQUE INDEX issues_granted_idx ON issues (source, grant_name, cycle, subscriber)
    WHERE grant_name IS NOT NULL AND state <> 'refused';
CREATE INDEX issues_unpaid_idx ON issues (source, grant_name, cycle, subscriber)
    WHERE grant_name IS NOT NULL AND state = 'refused';
DROP INDEX issues_grant_idx;
