-- A fact has many columns, and a part with a file for each is dear to make: at five thousand webhooks a second the
-- merges of the first minutes are a tenth of the engine's work. Below 256 MiB, some million facts, all columns lie in
-- one file; reading a few of them takes a few milliseconds more.
ALTER TABLE {database}.payment_events_stored MODIFY SETTING min_bytes_for_wide_part = 268435456;
