-- Claims of rewards, what they are counted by, and what partners were answered.

-- The claims as their events leave them. Amounts are bytes, instants milliseconds since
-- 1970-01-01Z. `counted_bytes`: what limits and budgets count; nothing for what was noted or refused,
-- and without what was clawed back. `kind` is the reward's, empty where nothing is earned. Devices
-- and addresses are hashes; they are in no log.
CREATE TABLE claims (
    id uuid PRIMARY KEY,
    campaign text NOT NULL,
    partner text NOT NULL,
    task text NOT NULL,
    step text NOT NULL,
    occurrence text NOT NULL,
    subscriber text NOT NULL,
    kind text NOT NULL,
    bytes bigint NOT NULL,
    counted_bytes bigint NOT NULL,
    place integer NOT NULL,
    state text NOT NULL,
    claimed_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    device text,
    address text
) WITH (fillfactor = 80);
CREATE INDEX claims_subscriber_idx ON claims (subscriber, claimed_at, id);
CREATE INDEX claims_campaign_idx ON claims (campaign, subscriber);
CREATE INDEX claims_page_idx ON claims (campaign, claimed_at, id);
CREATE INDEX claims_device_idx ON claims (campaign, device) WHERE device IS NOT NULL;
CREATE INDEX claims_address_idx ON claims (campaign, address) WHERE address IS NOT NULL;

-- What the claims of a campaign's bank day count together, and how many count.
CREATE TABLE campaign_days (
    campaign text NOT NULL,
    day text NOT NULL,
    bytes bigint NOT NULL,
    claims bigint NOT NULL,
    PRIMARY KEY (campaign, day)
) WITH (fillfactor = 50);

-- How many of a draw's prizes are gone.
CREATE TABLE prizes_gone (
    campaign text NOT NULL,
    task text NOT NULL,
    prize text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (campaign, task, prize)
) WITH (fillfactor = 50);

-- The secret seeds of draws, by the bank's day; told when the day is over.
CREATE TABLE draw_seeds (
    campaign text NOT NULL,
    task text NOT NULL,
    day text NOT NULL,
    seed bytea NOT NULL,
    PRIMARY KEY (campaign, task, day)
);

-- What was given out: entrances to campaigns, starts of ads, links to share. Never changed.
CREATE TABLE task_tokens (
    token_id uuid PRIMARY KEY,
    token text NOT NULL UNIQUE,
    use text NOT NULL,
    campaign text NOT NULL,
    task text NOT NULL,
    subscriber text NOT NULL,
    issued_at bigint NOT NULL,
    invited_by text,
    device text,
    address text
);
CREATE INDEX task_tokens_entrance_idx ON task_tokens (campaign, subscriber, issued_at)
    WHERE use = 'entrance';

-- Who opened a shared link: hashes of visitors.
CREATE TABLE visits (
    token_id uuid NOT NULL,
    visitor text NOT NULL,
    visited_at bigint NOT NULL,
    PRIMARY KEY (token_id, visitor)
);

-- What partners asked by which request id, and the answer, byte by byte; kept for 180 days.
CREATE TABLE answers (
    partner text NOT NULL,
    request_id text NOT NULL,
    body bytea NOT NULL,
    answer bytea NOT NULL,
    claims uuid[] NOT NULL,
    answered_at bigint NOT NULL,
    PRIMARY KEY (partner, request_id)
);
CREATE INDEX answers_answered_idx ON answers (answered_at);
