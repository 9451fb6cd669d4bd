//! Titles: at most 80 characters, symptom first, readable on a lock screen.

use payments::UnixMillis;
use serde::{Deserialize, Serialize};

use super::words::shorten;
use super::{Page, number};

/// A title's length in characters, including its prefix.
pub const TITLE_CHARS_MAX: usize = 80;
/// The slice is never cut below this.
const SLICE_CHARS_MIN: usize = 8;

/// A title in three parts; when it is too long the slice in the middle is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// `Declines 12→91%`, or `No`.
    pub before: String,
    /// `issuer Harbour Bank`; made of [`outside`](super::outside) text.
    pub slice: String,
    /// `~$1.8k/min`, or `webhooks for 3 min (usually 41/min)`.
    pub after: String,
}

/// `P1 Declines 12→91% issuer Harbour Bank ~$1.8k/min`.
pub fn title(page: &Page) -> String {
    compose(page.severity.label(), &page.headline)
}

/// `MISSED, RESOLVED 38 min · Declines …`: for a channel that could not be reached meanwhile.
pub(super) fn missed_title(page: &Page, ended_at: UnixMillis) -> String {
    resolved("MISSED, RESOLVED", page, ended_at)
}

/// `RESOLVED 38 min · Declines 12→91% issuer Harbour Bank ~$1.8k/min`.
pub fn resolved_title(page: &Page, ended_at: UnixMillis) -> String {
    resolved("RESOLVED", page, ended_at)
}

fn resolved(status: &str, page: &Page, ended_at: UnixMillis) -> String {
    let began = page.since.unwrap_or(page.paged_at);
    let lasted = u64::try_from(ended_at.0.saturating_sub(began.0)).unwrap_or(0);
    compose(&format!("{status} {} ·", number::duration(lasted)), &page.headline)
}

fn compose(prefix: &str, headline: &Headline) -> String {
    let fixed: usize = [prefix, &headline.before, &headline.after].iter().map(|part| chars(part)).sum();
    let room = TITLE_CHARS_MAX.saturating_sub(fixed + 3).max(SLICE_CHARS_MIN);
    let slice = fit(&headline.slice, room);
    let parts = [prefix, &headline.before, &slice, &headline.after];
    let whole: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    shorten(&whole.join(" "), TITLE_CHARS_MAX)
}

/// Cuts `slice`, keeping a direction isolate closed.
fn fit(slice: &str, room: usize) -> String {
    let cut = shorten(slice, room);
    let open = cut.matches('\u{2068}').count();
    let closed = cut.matches('\u{2069}').count();
    if open <= closed {
        return cut;
    }
    let missing = open - closed;
    format!("{}{}", shorten(slice, room.saturating_sub(missing)), "\u{2069}".repeat(missing))
}

fn chars(text: &str) -> usize {
    text.chars().count()
}
