//! Rules: files in `rules/*.toml`, one rule each, named by the file.
//!
//! Adding a type: a file with its keys, its SQL and its verdict; here one `mod`, one [`Question`] variant, and the
//! arms that the compiler then asks for.

mod completeness;
mod dead_man;
mod file;
mod keys;
mod scope_sql;
pub(crate) mod threshold;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use payments::UnixMillis;

pub use completeness::Completeness;
pub use dead_man::DeadMan;
pub use file::{LoadError, RuleProblem, load, parse};
pub use threshold::{Measure, Threshold};

use crate::page::{Accrued, Headline, Impact, Measured, Rates, Severity, Usual};
use crate::reader::{QueryError, Reader};
use crate::slice::Slice;
use crate::state::Verdict;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The file's name without `.toml`.
    pub id: String,
    /// SHA-256 of what the file says, in hexadecimal, whatever its comments and layout: an edited rule starts anew.
    pub hash: String,
    /// How urgent its pages are.
    pub severity: Severity,
    /// Who answers for it.
    pub owner: String,
    /// Where its pages go.
    pub channels: Vec<String>,
    /// What to do when it pages: an address, or a path in the repository.
    pub runbook: String,
    /// How long a breach must last.
    pub for_s: u64,
    /// How long recovery must last.
    pub recover_for_s: u64,
    /// What it asks.
    pub question: Question,
}

/// What a rule asks, by type. `type` in a rule file is the variant's name in snake case.
#[derive(Clone, Debug, PartialEq, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(Type),
    doc = "The types of rules.",
    derive(strum::EnumString, strum::IntoStaticStr, strum::VariantArray),
    strum(serialize_all = "snake_case")
)]
pub enum Question {
    /// Is a rate, a latency or a volume over a fixed line?
    Threshold(Threshold),
    /// Did a feed stop?
    DeadMan(DeadMan),
    /// Is everything that was acknowledged stored?
    Completeness(Completeness),
}

impl Type {
    /// Reads the keys of this type; what is wrong with their values goes to `wrong`.
    fn read(
        self,
        keys: toml::de::Deserializer<'_>,
        wrong: &mut Vec<keys::Wrong>,
    ) -> Result<Question, toml::de::Error> {
        match self {
            Self::Threshold => Threshold::read(keys, wrong).map(Question::Threshold),
            Self::DeadMan => DeadMan::read(keys, wrong).map(Question::DeadMan),
            Self::Completeness => Completeness::read(keys, wrong).map(Question::Completeness),
        }
    }
}

/// The instants of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// Wall clock.
    pub now: UnixMillis,
    /// Everything that arrived before this is stored.
    pub complete_to: UnixMillis,
}

/// What is already known of a slice that is open or pending. A rule says something of it even when the data do not
/// show it any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Which slice.
    pub slice: Slice,
    /// Whether it has paged.
    pub is_open: bool,
    /// The onset, as its page tells it.
    pub since: Option<UnixMillis>,
    /// What was usual before the onset.
    pub usual: Option<Usual>,
    /// The cost of its first part.
    pub accrued: Option<Accrued>,
}

/// What a rule says of one slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which slice.
    pub slice: Slice,
    /// `None` when there is too little to judge by.
    pub verdict: Option<Verdict>,
    /// What was measured.
    pub measured: Measured,
}

/// What a rule says of all slices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// One per slice that has data, the largest first.
    pub samples: Vec<Sample>,
    /// Whether there were more slices than the rule looks at.
    pub truncated: bool,
}

/// What a page needs beside the sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// When it began.
    pub since: Option<UnixMillis>,
    /// Whether it may have begun earlier.
    pub since_at_least: bool,
    /// Now, since the onset.
    pub now: Measured,
    /// Usually.
    pub usual: Option<Usual>,
    /// What it costs.
    pub impact: Impact,
    /// Decline codes with their excess.
    pub codes: Vec<crate::page::CodeExcess>,
    /// Event ids: two newest, one at the onset.
    pub samples: Vec<String>,
    /// The cost of a long incident's first part, when there is more of it than was known.
    pub accrued: Option<Accrued>,
    /// What else a page says, each a line.
    pub notes: Vec<String>,
}

impl Findings {
    /// What is known when nothing could be looked up.
    pub fn unknown(measured: Measured) -> Self {
        Self {
            since: None,
            since_at_least: false,
            now: measured,
            usual: None,
            impact: Impact::unknown("the details could not be looked up"),
            codes: Vec::new(),
            samples: Vec::new(),
            accrued: None,
            notes: Vec::new(),
        }
    }
}

impl Rule {
    /// Reads the data and judges every slice, those in `held` whether or not the data still show them.
    pub async fn evaluate(
        &self,
        reader: &Reader,
        instants: Instants,
        held: &[Held],
    ) -> Result<Evaluation, QueryError> {
        match &self.question {
            Question::Threshold(threshold) => threshold.evaluate(reader, instants, held).await,
            Question::DeadMan(dead_man) => dead_man.evaluate(reader, instants, held).await,
            Question::Completeness(completeness) => completeness.evaluate(reader, instants, held).await,
        }
    }

    /// Looks up what a page about the sample's slice says. `held` is what was told of it before.
    pub async fn investigate(
        &self,
        reader: &Reader,
        instants: Instants,
        sample: &Sample,
        held: Option<&Held>,
        rates: &Rates,
    ) -> Result<Findings, QueryError> {
        match &self.question {
            Question::Threshold(threshold) => {
                threshold.investigate(reader, instants, sample, held, rates).await
            }
            Question::DeadMan(dead_man) => dead_man.investigate(reader, instants, sample, held).await,
            Question::Completeness(completeness) => {
                completeness.investigate(reader, instants, sample, held).await
            }
        }
    }

    /// The title of a page about `slice`.
    pub fn headline(&self, slice: &Slice, findings: &Findings) -> Headline {
        match &self.question {
            Question::Threshold(threshold) => threshold.headline(slice, findings),
            Question::DeadMan(_) => DeadMan::headline(slice, findings),
            Question::Completeness(_) => Completeness::headline(slice, findings),
        }
    }

    /// What the measure is called in a page.
    pub fn measure_words(&self) -> &'static str {
        match &self.question {
            Question::Threshold(threshold) => threshold.measure.words(),
            Question::DeadMan(_) | Question::Completeness(_) => "webhooks",
        }
    }

    /// First eight hex digits of the hash.
    pub fn version(&self) -> String {
        self.hash.chars().take(8).collect()
    }
}

/// Rules by id.
pub type Rules = BTreeMap<String, Rule>;
