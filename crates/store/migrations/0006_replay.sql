-- A replay that understands a parked webhook writes its row again without a reason: it is parked no longer.
CREATE OR REPLACE VIEW {database}.parked_webhooks AS
SELECT webhook_id, source, provider, received_at, stored_at, reason, detail, body
FROM {database}.parked_webhooks_stored FINAL
WHERE reason != '';
