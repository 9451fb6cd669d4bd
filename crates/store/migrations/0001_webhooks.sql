-- Every accepted request, exactly as it came. Both columns of the key come with the envelope, so a redelivered
-- message, a retried insert and a replay all meet their first copy.
CREATE TABLE IF NOT EXISTS {database}.webhooks_stored
(
    webhook_id  UUID CODEC(ZSTD(1)),
    source      LowCardinality(String) CODEC(ZSTD(1)),
    provider    LowCardinality(String) CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stored_at   DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    secret      LowCardinality(String) CODEC(ZSTD(1)),
    outcome     LowCardinality(String) CODEC(ZSTD(1)),
    facts       UInt16 CODEC(ZSTD(1)),
    traceparent String CODEC(ZSTD(1)),
    -- In the order they came; a name may come twice.
    headers     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    body        String CODEC(ZSTD(1)),
    body_bytes  UInt64 MATERIALIZED length(body) CODEC(ZSTD(1)),
    INDEX webhook_id_bloom webhook_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(stored_at)
PARTITION BY toDate(received_at)
ORDER BY (received_at, webhook_id)
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1,
    -- Bodies are long: a granule of 2 MiB, some 800 webhooks, keeps looking at one of them cheap.
    index_granularity_bytes = 2097152,
    -- Merging rewrites bodies, which is most of the cost of keeping them: parts of 1 GiB are large enough.
    max_bytes_to_merge_at_max_space_in_pool = 1073741824;

CREATE VIEW IF NOT EXISTS {database}.webhooks AS
SELECT
    webhook_id, source, provider, received_at, stored_at, secret, outcome, facts, traceparent, headers, body,
    body_bytes
FROM {database}.webhooks_stored FINAL;

-- What was accepted and not understood. `received_at` is zero for a message that does not even tell its time, so
-- age is counted from when it was stored.
CREATE TABLE IF NOT EXISTS {database}.parked_webhooks_stored
(
    webhook_id  UUID CODEC(ZSTD(1)),
    source      LowCardinality(String) CODEC(ZSTD(1)),
    provider    LowCardinality(String) CODEC(ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stored_at   DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    reason      LowCardinality(String) CODEC(ZSTD(1)),
    detail      String CODEC(ZSTD(1)),
    body        String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(stored_at)
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, webhook_id)
SETTINGS non_replicated_deduplication_window = 1000, materialize_ttl_recalculate_only = 1;

CREATE VIEW IF NOT EXISTS {database}.parked_webhooks AS
SELECT webhook_id, source, provider, received_at, stored_at, reason, detail, body
FROM {database}.parked_webhooks_stored FINAL;
