//! No body makes `normalize` panic, and whatever it makes of a body holds what columns promise.
//!
//! Input: a provider, then the body.

#![no_main]

use bytes::{BufMut as _, BytesMut};
use libfuzzer_sys::fuzz_target;
use payments::{Kind, Outcome, Provider, QueueMessage, SourceSettings};
use strum::VariantArray as _;

fuzz_target!(|input: &[u8]| {
    let Some((provider, body)) = input.split_first() else { return };
    let provider = Provider::VARIANTS[usize::from(*provider) % Provider::VARIANTS.len()];

    // Wire format of the queue, as `envelope.rs` documents it.
    let mut wire = BytesMut::new();
    wire.put_slice(&[1, 1]);
    wire.put_slice(&[0; 24]);
    wire.put_u8(provider.name().len() as u8);
    wire.put_slice(provider.name().as_bytes());
    wire.put_slice(&[0; 8]);
    wire.put_u32_le(body.len() as u32);
    wire.put_slice(body);
    let Ok(QueueMessage::Webhook(envelope)) = QueueMessage::decode(wire.freeze()) else {
        panic!("the envelope was built wrongly");
    };

    let Ok(events) = Provider::normalize(&envelope, &SourceSettings::default()) else { return };
    for event in &events {
        assert!(!event.event_id.is_empty());
        assert!(event.bin.len() <= 8 && event.last4.len() <= 4, "part of a card number too many");
        if event.kind == Kind::Authorization {
            let refused = matches!(event.outcome, Outcome::Declined | Outcome::Failed);
            assert_eq!(event.decline.is_some(), refused);
        }
    }
});
