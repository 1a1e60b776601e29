-- What partners pay for: sponsored traffic and packs beside awards, and what campaigns have left.

-- View `partner_spend`, now by rating group too, in tables of new names: the version before goes on
-- with its own, which nobody else writes. The view is folded anew from the first event on.
CREATE TABLE spend_lines (
    partner text NOT NULL,
    campaign text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    -- Empty for awards and packs, and for traffic that was sponsored whatever its group.
    rating_group text NOT NULL,
    bytes numeric NOT NULL,
    count bigint NOT NULL,
    subscribers bigint NOT NULL,
    PRIMARY KEY (partner, campaign, day, kind, rating_group)
) WITH (fillfactor = 80);
-- Who is counted in `subscribers` already.
CREATE TABLE spend_members (
    partner text NOT NULL,
    campaign text NOT NULL,
    day date NOT NULL,
    kind text NOT NULL,
    rating_group text NOT NULL,
    subscriber text NOT NULL,
    PRIMARY KEY (partner, campaign, day, kind, rating_group, subscriber)
);
CREATE TABLE spend_lines_shadow (LIKE spend_lines INCLUDING ALL) WITH (fillfactor = 80);
CREATE TABLE spend_members_shadow (LIKE spend_members INCLUDING ALL);
TRUNCATE spend_partners;
DELETE FROM inbox_positions WHERE consumer = 'partner_spend';
DELETE FROM parked WHERE consumer = 'partner_spend';

-- View `partners`: who pays at which price, and whose each campaign is, as tasks' log tells.
CREATE TABLE partners (
    partner text PRIMARY KEY,
    sponsor_id text NOT NULL,
    title text NOT NULL
);
CREATE TABLE partner_prices (
    partner text NOT NULL,
    price_version bigint NOT NULL,
    from_day date NOT NULL,
    recorded_at bigint NOT NULL,
    -- Fen for 1 GiB by kind of spend.
    fen_per_gib jsonb NOT NULL,
    PRIMARY KEY (partner, price_version)
);
CREATE TABLE partner_campaigns (
    campaign text PRIMARY KEY,
    partner text NOT NULL,
    asp_id text NOT NULL
);
CREATE TABLE partners_shadow (LIKE partners INCLUDING ALL);
CREATE TABLE partner_prices_shadow (LIKE partner_prices INCLUDING ALL);
CREATE TABLE partner_campaigns_shadow (LIKE partner_campaigns INCLUDING ALL);

-- View `campaigns`: where each campaign's bytes came from and where they are, with its quotas.
CREATE TABLE campaigns (
    campaign text PRIMARY KEY,
    partner text,
    funded numeric NOT NULL,
    charged_on_credit numeric NOT NULL,
    expired numeric NOT NULL,
    awarded numeric NOT NULL,
    sponsored numeric NOT NULL,
    given_back numeric NOT NULL,
    in_transit numeric NOT NULL,
    adjusted numeric NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE campaign_lots (
    account text NOT NULL,
    lot_id text NOT NULL,
    campaign text NOT NULL,
    expires_at bigint NOT NULL,
    remaining bigint NOT NULL CHECK (remaining >= 0),
    held bigint NOT NULL CHECK (held >= 0),
    PRIMARY KEY (account, lot_id)
) WITH (fillfactor = 70);
CREATE INDEX campaign_lots_campaign_idx ON campaign_lots (campaign);
CREATE TABLE campaigns_shadow (LIKE campaigns INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE campaign_lots_shadow (LIKE campaign_lots INCLUDING ALL) WITH (fillfactor = 70);

-- View `balances`: what campaigns paid for a subscriber, by bank month of `recorded_at`.
CREATE TABLE sponsored (
    account text NOT NULL,
    month text NOT NULL,
    campaign text NOT NULL,
    bytes bigint NOT NULL,
    records bigint NOT NULL,
    PRIMARY KEY (account, month, campaign)
) WITH (fillfactor = 80);
CREATE TABLE sponsored_shadow (LIKE sponsored INCLUDING ALL) WITH (fillfactor = 80);

-- View `trial_balance`: what campaigns paid of subscribers' usage; informative, part of no sum.
ALTER TABLE trial_balance ADD COLUMN sponsored numeric NOT NULL DEFAULT 0;
ALTER TABLE trial_balance_shadow ADD COLUMN sponsored numeric NOT NULL DEFAULT 0;
