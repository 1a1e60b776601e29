-- An answer is the app's that asked: another app of the partner knows nothing of it, and may use the
-- same request id. Answers that were given before have no app: any of the partner's may ask for them.
ALTER TABLE answers ADD COLUMN asp_id text NOT NULL DEFAULT '';
ALTER TABLE answers DROP CONSTRAINT answers_pkey, ADD PRIMARY KEY (partner, request_id, asp_id);
