-- View `gifts`: each gift, red packet and share of one, as gifting's events leave it.
CREATE TABLE gifts (
    gift_id text PRIMARY KEY,
    kind text NOT NULL,
    sender text NOT NULL,
    -- Empty for a red packet: its shares have receivers.
    receiver text NOT NULL,
    bytes bigint NOT NULL,
    state text NOT NULL,
    -- Why it is so; empty where there is nothing to say.
    code text NOT NULL,
    requested_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    -- What only some have, and when each state began: `<state>_at`.
    facts jsonb NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX gifts_sender_idx ON gifts (sender, requested_at, gift_id);
CREATE INDEX gifts_receiver_idx ON gifts (receiver, requested_at, gift_id);
CREATE TABLE gifts_shadow (LIKE gifts INCLUDING ALL) WITH (fillfactor = 70);
