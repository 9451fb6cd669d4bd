//! A refusal in one provider's words, and what it must become.

use payments::{Decline, DeclineCategory, DeclineClass, Outcome, Retry};

/// One row of a provider's table of refusals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    /// The provider's code or text, as it stands in the webhook.
    pub(super) code: &'static str,
    /// The network's response code; empty where it is not told.
    pub(super) network_code: &'static str,
    pub(super) category: DeclineCategory,
    pub(super) retry: Retry,
}

impl Refusal {
    pub(super) fn new(
        code: &'static str,
        network_code: &'static str,
        category: DeclineCategory,
        retry: Retry,
    ) -> Self {
        Self { code, network_code, category, retry }
    }

    /// `failed` where nobody decided, `declined` where somebody said no.
    pub(super) fn outcome(self) -> Outcome {
        match self.category.class() {
            DeclineClass::Technical => Outcome::Failed,
            DeclineClass::Actionable | DeclineClass::Cardholder => Outcome::Declined,
        }
    }

    pub(super) fn decline(self) -> Decline {
        Decline {
            code: self.code.to_owned(),
            category: self.category,
            network_code: self.network_code.to_owned(),
            retry: self.retry,
        }
    }
}
