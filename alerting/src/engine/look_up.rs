//! Looking up what pages say: the most urgent first, some at once, and all within one deadline. A page that just fired
//! goes out whatever could be looked up; what is only newer numbers waits for a later tick.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::Instant;

use super::tick::{Happening, Tick, What};
use super::{Engine, QUERIES_AT_ONCE};
use crate::rules::{Findings, Instants, Sample};
use crate::state::Move;

/// Pages looked up per tick.
const FINDINGS_MAX: usize = 30;
/// A tick waits this long for all of them together.
const DEADLINE: Duration = Duration::from_secs(5);

impl Engine {
    /// What is told of `happenings`, in their order, with what could be looked up.
    pub(super) async fn look_up(
        &self,
        tick: &Tick,
        happenings: Vec<Happening>,
        instants: Instants,
    ) -> Vec<(Happening, Option<Findings>)> {
        let mut found: Vec<Option<Findings>> = happenings.iter().map(|_| None).collect();
        let deadline = Instant::now() + DEADLINE;
        let pending: Vec<BoxFuture<'_, (usize, Option<Findings>)>> = chosen(tick, &happenings)
            .into_iter()
            .filter_map(|index| {
                let happening = happenings.get(index)?;
                let sample = happening.sample.as_ref()?;
                let looking = self.investigate(tick, happening, sample, instants);
                Some(
                    async move { (index, tokio::time::timeout_at(deadline, looking).await.ok().flatten()) }
                        .boxed(),
                )
            })
            .collect();
        let mut answers = stream::iter(pending).buffer_unordered(QUERIES_AT_ONCE);
        while let Some((index, findings)) = answers.next().await {
            if let Some(slot) = found.get_mut(index) {
                *slot = findings;
            }
        }
        drop(answers);
        happenings.into_iter().zip(found).filter_map(complete).collect()
    }

    async fn investigate(
        &self,
        tick: &Tick,
        happening: &Happening,
        sample: &Sample,
        instants: Instants,
    ) -> Option<Findings> {
        let rule = self.rules.get(&happening.key.0)?;
        let held = tick.held(&happening.key);
        match rule.investigate(&self.reader, instants, sample, held.as_ref(), &self.rates).await {
            Ok(findings) => Some(findings),
            Err(error) => {
                self.observations.findings_failed(&rule.id, &crate::chain(&error));
                None
            }
        }
    }
}

/// Which happenings are looked up, the most urgent first. While there are new pages, newer numbers of old ones wait:
/// they are due again at the next tick, and the longest waiting go first.
fn chosen(tick: &Tick, happenings: &[Happening]) -> Vec<usize> {
    let is_new = happenings.iter().any(|happening| happening.what.is_fired());
    let mut chosen: Vec<(u8, i64, usize)> = happenings
        .iter()
        .enumerate()
        .filter(|(_, happening)| happening.wants_findings() && happening.sample.is_some())
        .filter(|(_, happening)| !(is_new && happening.what == What::Refresh))
        .map(|(index, happening)| {
            let refreshed_at = tick.book.slices.get(&happening.key).map_or(0, |slice| slice.refreshed_at.0);
            (urgency(&happening.what), refreshed_at, index)
        })
        .collect();
    chosen.sort_unstable();
    chosen.into_iter().take(FINDINGS_MAX).map(|(_, _, index)| index).collect()
}

fn urgency(what: &What) -> u8 {
    match what {
        What::Moved { how: Move::Fired, .. } => 0,
        What::Moved { how: Move::Resolved(_), .. } => 1,
        What::Moved { .. } | What::Retired { .. } => 2,
        What::Refresh => 3,
    }
}

/// A new page without findings says so; a refresh without any is none.
fn complete((happening, findings): (Happening, Option<Findings>)) -> Option<(Happening, Option<Findings>)> {
    let findings = match (&happening.what, findings) {
        (What::Refresh, None) => return None,
        (what, None) if what.is_fired() => {
            happening.sample.as_ref().map(|sample| Findings::unknown(sample.measured))
        }
        (_, findings) => findings,
    };
    Some((happening, findings))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use payments::UnixMillis;

    use super::*;
    use crate::page::Measured;
    use crate::slice::{Dimension, Slice};
    use crate::state::Verdict;
    use crate::storage::{Book, Tracked};

    /// Forty open pages that are due for newer numbers, as rules in the order of their names would give them; the
    /// last slice is what `what` says.
    fn storm(what: What) -> (Tick, Vec<Happening>) {
        let mut book = Book::default();
        let mut happenings = Vec::new();
        for number in 0..40 {
            let slice = Slice::new(&[Dimension::Issuer], vec![format!("Bank {number:02}")]);
            let key = ("issuer-declines".to_owned(), slice.key());
            let mut tracked = Tracked::new(slice.clone());
            tracked.refreshed_at = UnixMillis(40 - number);
            book.slices.insert(key.clone(), tracked);
            let measured = Measured::Share { count: 9, of: 10 };
            let sample = Some(Sample { slice, verdict: Some(Verdict::Breach), measured });
            happenings.push(Happening { key, what: What::Refresh, sample, truncated: false });
        }
        happenings.last_mut().unwrap().what = what;
        (Tick::new(book, UnixMillis(100_000), Duration::from_secs(15), None), happenings)
    }

    #[test]
    fn a_new_page_waits_for_no_refresh() {
        let (tick, happenings) = storm(What::Moved { from: "pending", how: Move::Fired });
        assert_eq!(chosen(&tick, &happenings), [39]);
    }

    #[test]
    fn an_end_goes_before_refreshes_and_of_these_the_longest_waiting_go_first() {
        let (tick, happenings) = storm(What::Moved { from: "recovering", how: Move::Improving });
        let looked_up = chosen(&tick, &happenings);
        assert_eq!((looked_up.len(), &looked_up[..3]), (FINDINGS_MAX, &[39, 38, 37][..]));
        assert!(!looked_up.contains(&0), "it waits for the next tick");
    }

    #[test]
    fn more_new_pages_than_can_be_looked_up_all_go_out() {
        let (tick, mut happenings) = storm(What::Refresh);
        for happening in &mut happenings {
            happening.what = What::Moved { from: "pending", how: Move::Fired };
        }
        assert_eq!(chosen(&tick, &happenings).len(), FINDINGS_MAX);
        let told: Vec<_> =
            happenings.into_iter().filter_map(|happening| complete((happening, None))).collect();
        assert!(told.len() == 40 && told.iter().all(|(_, findings)| findings.is_some()));
    }
}
