-- Whom the rules of campaigns' audiences found.

-- Whether a campaign's rule waits for its answer.
ALTER TABLE campaigns ADD COLUMN audience_due boolean NOT NULL DEFAULT false;
CREATE INDEX campaigns_audience_idx ON campaigns (name) WHERE audience_due;
-- Campaigns that had started before rules were asked.
UPDATE campaigns SET audience_due = true
WHERE state <> 'ended' AND EXISTS (
    SELECT FROM stored_events AS e
    WHERE e.originator_id = campaigns.id AND e.topic = 'bank.tasks.campaign_started.v1'
) AND (
    SELECT convert_from(e.state, 'UTF8')::jsonb #> '{terms,audience,rule}' FROM stored_events AS e
    WHERE e.originator_id = campaigns.id
        AND e.topic IN ('bank.tasks.campaign_drafted.v1', 'bank.tasks.campaign_changed.v1')
    ORDER BY e.originator_version DESC LIMIT 1
) IS NOT NULL;

-- How far a campaign's taking is: how many the gateway found, null while it still tells them.
CREATE TABLE audience_takings (
    campaign text PRIMARY KEY,
    taking integer NOT NULL,
    list text NOT NULL,
    found bigint
);
-- Whom it found, until the list has them.
CREATE TABLE audience_found (
    list text NOT NULL,
    subscriber text NOT NULL,
    PRIMARY KEY (list, subscriber)
);
