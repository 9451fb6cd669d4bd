-- Facts, ordered by the minute they happened in: a question about an hour reads that hour. The rest of the key is the
-- fact's identity. A copy that left its minute for another is retracted by a row with `is_deleted`.
CREATE TABLE IF NOT EXISTS {database}.payment_events_stored
(
    event_id         String CODEC(ZSTD(1)),
    fact             UInt16 CODEC(ZSTD(1)),
    source           LowCardinality(String) CODEC(ZSTD(1)),
    provider         LowCardinality(String) CODEC(ZSTD(1)),
    account          LowCardinality(String) CODEC(ZSTD(1)),
    live             Bool CODEC(ZSTD(1)),
    kind             LowCardinality(String) CODEC(ZSTD(1)),
    outcome          LowCardinality(String) CODEC(ZSTD(1)),
    occurred_at      DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    received_at      DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stored_at        DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    payment_id       String CODEC(ZSTD(1)),
    attempt_id       String CODEC(ZSTD(1)),
    order_id         String CODEC(ZSTD(1)),
    amount_minor     Int64 CODEC(ZSTD(1)),
    currency         LowCardinality(String) CODEC(ZSTD(1)),
    method           LowCardinality(String) CODEC(ZSTD(1)),
    wallet           LowCardinality(String) CODEC(ZSTD(1)),
    network          LowCardinality(String) CODEC(ZSTD(1)),
    funding          LowCardinality(String) CODEC(ZSTD(1)),
    bin              LowCardinality(String) CODEC(ZSTD(1)),
    last4            LowCardinality(String) CODEC(ZSTD(1)),
    issuer           LowCardinality(String) CODEC(ZSTD(1)),
    issuer_country   LowCardinality(String) CODEC(ZSTD(1)),
    decline_code     LowCardinality(String) CODEC(ZSTD(1)),
    decline_category LowCardinality(String) CODEC(ZSTD(1)),
    decline_class    LowCardinality(String) CODEC(ZSTD(1)),
    network_code     LowCardinality(String) CODEC(ZSTD(1)),
    retry            LowCardinality(String) CODEC(ZSTD(1)),
    three_ds         LowCardinality(String) CODEC(ZSTD(1)),
    avs              LowCardinality(String) CODEC(ZSTD(1)),
    cvc              LowCardinality(String) CODEC(ZSTD(1)),
    risk_score       Nullable(Float32) CODEC(ZSTD(1)),
    latency_ms       Nullable(UInt32) CODEC(ZSTD(1)),
    fee_minor        Nullable(Int64) CODEC(ZSTD(1)),
    experiment       LowCardinality(String) CODEC(ZSTD(1)),
    variant          LowCardinality(String) CODEC(ZSTD(1)),
    mapper_version   UInt16 CODEC(ZSTD(1)),
    webhook_id       UUID CODEC(ZSTD(1)),
    is_deleted       UInt8 DEFAULT 0 CODEC(ZSTD(1)),
    -- Which of several copies stands: the newest mapping, then the newest provider time, then a retraction over the
    -- row it retracts; among equals the one stored last.
    version          UInt64
        MATERIALIZED bitShiftLeft(toUInt64(mapper_version), 48)
            + toUInt64(toUnixTimestamp64Milli(occurred_at)) * 2 + is_deleted
        CODEC(Delta(8), ZSTD(1)),
    INDEX received_at_minmax received_at TYPE minmax GRANULARITY 1,
    INDEX event_id_bloom event_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX payment_id_bloom payment_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX attempt_id_bloom attempt_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX order_id_bloom order_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX webhook_id_bloom webhook_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toDate(occurred_at)
ORDER BY (toStartOfMinute(occurred_at), source, event_id, fact)
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

CREATE VIEW IF NOT EXISTS {database}.payment_events AS
SELECT
    event_id, fact, source, provider, account, live, kind, outcome, occurred_at, received_at, stored_at, payment_id,
    attempt_id, order_id, amount_minor, currency, method, wallet, network, funding, bin, last4, issuer,
    issuer_country, decline_code, decline_category, decline_class, network_code, retry, three_ds, avs, cvc,
    risk_score, latency_ms, fee_minor, experiment, variant, mapper_version, webhook_id
FROM {database}.payment_events_stored FINAL;

-- The rollup by minute and dimension. With these dimensions nearly every fact is a group of its own, so a stored copy
-- would be as long as the facts and could only differ from them: it is a view of the same rows, one for each fact.
-- `facts` is the row's identity as a set of one, for counting over windows by `uniqExactMerge(facts)`.
CREATE VIEW IF NOT EXISTS {database}.payment_minutes AS
SELECT
    toStartOfMinute(occurred_at) AS minute,
    source, provider, account, live, kind, outcome, currency, method, wallet, network, funding, bin, issuer,
    issuer_country, decline_code, decline_category, decline_class, network_code, retry, three_ds, experiment,
    variant, amount_minor, fee_minor, latency_ms,
    initializeAggregation('uniqExactState', sipHash64(source, event_id, fact)) AS facts
FROM {database}.payment_events_stored FINAL;

-- Where a fact lies whose time may differ from one webhook about it to the next. Ordered by a hash of its identity:
-- earlier places are found without knowing the time. Written and read only by the insert of facts.
CREATE TABLE IF NOT EXISTS {database}.payment_event_places
(
    identity       UInt64 CODEC(NONE),
    source         LowCardinality(String) CODEC(ZSTD(1)),
    event_id       String CODEC(ZSTD(1)),
    fact           UInt16 CODEC(ZSTD(1)),
    occurred_at    DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    received_at    DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    mapper_version UInt16 CODEC(ZSTD(1)),
    version        UInt64
        MATERIALIZED bitShiftLeft(toUInt64(mapper_version), 48) + toUInt64(toUnixTimestamp64Milli(occurred_at)) * 2
        CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(received_at)
PRIMARY KEY identity
ORDER BY (identity, source, event_id, fact, toStartOfMinute(occurred_at))
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1,
    -- Read by single keys: small granules in small blocks.
    index_granularity = 1024,
    min_compress_block_size = 8192;
