-- Packs, orders, pools, codes and issues as their events leave them; lists of members. Amounts are
-- bytes, instants milliseconds since 1970-01-01Z.

-- Which versions of a pack there are; the highest is sold.
CREATE TABLE packs (
    name text NOT NULL,
    number integer NOT NULL,
    id uuid NOT NULL,
    published_at bigint NOT NULL,
    PRIMARY KEY (name, number)
);

-- `used`: packs that are on their way or delivered, or lie in a code that has not expired.
CREATE TABLE pack_orders (
    id uuid PRIMARY KEY,
    partner text NOT NULL,
    pack text NOT NULL,
    state text NOT NULL,
    count bigint NOT NULL,
    used bigint NOT NULL,
    pool_id uuid,
    ordered_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    CHECK (used BETWEEN 0 AND count)
) WITH (fillfactor = 50);
CREATE INDEX pack_orders_partner_idx ON pack_orders (partner, ordered_at, id);

-- `total_bytes`: without what was handed down; `drawn_bytes`: drawn and not come back.
CREATE TABLE pools (
    id uuid PRIMARY KEY,
    partner text NOT NULL,
    parent_id uuid,
    order_id uuid NOT NULL,
    title text NOT NULL,
    -- The list whose members bring more, null of a pool that stays as it is.
    grows_with text,
    total_bytes bigint NOT NULL,
    drawn_bytes bigint NOT NULL,
    opened_at bigint NOT NULL,
    CHECK (drawn_bytes BETWEEN 0 AND total_bytes)
) WITH (fillfactor = 50);
CREATE INDEX pools_partner_idx ON pools (partner, opened_at, id);
-- What each member drew of a pool in a month of the bank.
CREATE TABLE pool_draws (
    pool_id uuid NOT NULL,
    month text NOT NULL,
    subscriber text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (pool_id, month, subscriber)
) WITH (fillfactor = 80);

-- Versions of its list that a growing pool has counted.
CREATE TABLE pool_growth (
    pool_id uuid NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (pool_id, number)
);

-- The codes: a hash each; whoever made them has seen them, nobody else.
CREATE TABLE codes (
    id uuid PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    order_id uuid NOT NULL,
    batch text NOT NULL,
    state text NOT NULL,
    expires_at bigint NOT NULL,
    subscriber text NOT NULL DEFAULT '',
    issue_id text NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
CREATE INDEX codes_order_idx ON codes (order_id, batch);
CREATE INDEX codes_due_idx ON codes (expires_at) WHERE state = 'made';

CREATE TABLE issues (
    id uuid PRIMARY KEY,
    partner text NOT NULL,
    subscriber text NOT NULL,
    bytes bigint NOT NULL,
    -- The order, pool or campaign out of which it goes.
    source text NOT NULL,
    -- Of a grant: the campaign's and the month's; null otherwise.
    grant_name text,
    cycle text,
    state text NOT NULL,
    code text NOT NULL,
    issued_at bigint NOT NULL,
    changed_at bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX issues_source_idx ON issues (source, issued_at, id);
CREATE UNIQUE INDEX issues_grant_idx ON issues (source, grant_name, cycle, subscriber)
    WHERE grant_name IS NOT NULL;

-- Lists of members, and what each version changed, for whoever follows them.
CREATE TABLE member_lists (
    name text PRIMARY KEY,
    number integer NOT NULL,
    members bigint NOT NULL,
    changed_at bigint NOT NULL
);
CREATE TABLE list_members (
    list text NOT NULL,
    subscriber text NOT NULL,
    PRIMARY KEY (list, subscriber)
);
CREATE TABLE list_changes (
    list text NOT NULL,
    number integer NOT NULL,
    subscriber text NOT NULL,
    added boolean NOT NULL,
    PRIMARY KEY (list, number, subscriber)
);
-- Up to which version of its list the ledger knows the members of a campaign's offer.
CREATE TABLE list_feeds (
    campaign text PRIMARY KEY,
    list text NOT NULL,
    number integer NOT NULL
);
