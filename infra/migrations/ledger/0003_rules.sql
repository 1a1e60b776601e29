-- Versions of the rules that were put while the bank runs; each is also an event of the log.
CREATE TABLE rules (
    version integer PRIMARY KEY,
    effective_from bigint NOT NULL,
    rules bytea NOT NULL
);
