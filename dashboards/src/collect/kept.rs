//! Answers that are used again for a while, and failures that are not repeated at once.

use payments::UnixMillis;

use crate::queries::QueryError;

/// The answer to a question that is asked less often than the rest, or why there was none.
#[derive(Clone, Debug)]
pub(super) struct Kept<Q, A> {
    answered_at: UnixMillis,
    question: Q,
    answer: Result<A, String>,
}

impl<Q: PartialEq, A: Clone> Kept<Q, A> {
    pub(super) fn new(answered_at: UnixMillis, question: Q, answer: &Result<A, QueryError>) -> Self {
        Self { answered_at, question, answer: answer.as_ref().map_err(QueryError::in_short).cloned() }
    }

    /// What was answered, unless that was another question or too long ago.
    pub(super) fn again(&self, question: &Q, now: UnixMillis, for_ms: i64) -> Option<Result<A, QueryError>> {
        let is_fresh = (0..for_ms).contains(&(now.0 - self.answered_at.0));
        (is_fresh && self.question == *question).then(|| self.answer.clone().map_err(QueryError::Earlier))
    }
}
