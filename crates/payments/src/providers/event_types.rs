//! What a body says it is about, in its provider's own words: for choosing stored webhooks, so whatever cannot be read
//! says nothing.

use serde_json::Value;

use super::Provider;

impl Provider {
    /// The types of the events in `body`: Stripe's and Checkout.com's `type`, Adyen's `eventCode` of every item or the
    /// `type` of its platform's notifications, the `kind` of a canonical event.
    pub fn event_types(self, body: &[u8]) -> Vec<String> {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
        let at = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        match self {
            Self::Stripe | Self::Checkout => at("/type").into_iter().collect(),
            // One event, or several.
            Self::Canonical => {
                let events = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
                let kinds = events.iter().filter_map(|event| event.get("kind").and_then(Value::as_str));
                kinds.map(str::to_owned).collect()
            }
            Self::Adyen => {
                let items = body.get("notificationItems").and_then(Value::as_array);
                let codes = items.into_iter().flatten().filter_map(|item| {
                    item.pointer("/NotificationRequestItem/eventCode").and_then(Value::as_str)
                });
                codes.map(str::to_owned).chain(at("/type")).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_says_what_a_body_is_about() {
        for (provider, body, told) in [
            (Provider::Stripe, r#"{"type":"charge.failed"}"#, &["charge.failed"] as &[_]),
            (Provider::Checkout, r#"{"type":"payment_declined"}"#, &["payment_declined"]),
            (Provider::Canonical, r#"{"kind":"capture"}"#, &["capture"]),
            (Provider::Canonical, r#"[{"kind":"capture"},{"kind":"refund"}]"#, &["capture", "refund"]),
            (
                Provider::Adyen,
                r#"{"type":"balancePlatform.transfer.created"}"#,
                &["balancePlatform.transfer.created"],
            ),
            (
                Provider::Adyen,
                r#"{"notificationItems":[{"NotificationRequestItem":{"eventCode":"CAPTURE"}},{"NotificationRequestItem":{"eventCode":"REFUND"}}]}"#,
                &["CAPTURE", "REFUND"],
            ),
            (Provider::Stripe, "nothing", &[]),
            (Provider::Stripe, r#"{"type":7}"#, &[]),
        ] {
            assert_eq!(provider.event_types(body.as_bytes()), told, "{body}");
        }
    }
}
