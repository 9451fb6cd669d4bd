//! `log`: the page in full, as one event of Tillwatch's own log. Needs nothing, so it is what a first run uses.

use super::Outgoing;
use crate::page::{full_text, minimal_text};

/// The text that is logged.
pub(super) fn render(outgoing: &Outgoing<'_>) -> String {
    if outgoing.minimal { minimal_text(outgoing.message) } else { full_text(outgoing.message) }
}
