//! What goes wrong, when, and the record of it: a detector is right if it says what stands here.

use std::fmt;
use std::time::Duration;

use payments::UnixMillis;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::world::{Disturbance, World};

/// A named kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum ScenarioKind {
    /// None: ordinary declines, ordinary delays.
    Steady,
    /// One issuer (5-10% of cards) does not answer nine in ten of its authorizations (response code 91).
    IssuerOutage,
    /// Half of the calls to one source's provider time out after 30 s, and most of these are never told.
    ProviderTimeouts,
    /// One source's webhooks stop; the provider keeps them and sends them when it is back.
    DeadSource,
}

/// Which trouble, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScenarioConfig {
    /// What happens.
    pub kind: ScenarioKind,
    /// How long all is well first.
    pub onset: Duration,
    /// How long the trouble lasts.
    pub duration: Duration,
    /// How long all is well before the next one begins, elsewhere; `None` is one incident only.
    pub pause: Option<Duration>,
}

impl ScenarioConfig {
    /// `kind` after a minute, for three and a half, again every six and a half minutes: long enough for a rule with a
    /// window and a hold time to fire and to resolve, short enough to watch.
    pub fn new(kind: ScenarioKind) -> Self {
        Self {
            kind,
            onset: Duration::from_mins(1),
            duration: Duration::from_secs(210),
            pause: Some(Duration::from_mins(3)),
        }
    }
}

/// One incident: the truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Name of the scenario.
    pub scenario: String,
    /// Counted from 0.
    pub number: u32,
    /// `issuer` or `source`.
    pub dimension: String,
    /// Which issuer or source.
    pub affected: String,
    /// What happens to it.
    pub effect: String,
    /// From then.
    pub since: UnixMillis,
    /// To then.
    pub until: UnixMillis,
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dimension, affected, effect, since, until, .. } = self;
        write!(f, "{dimension} {affected}: {effect}, since {since}, until {until}")
    }
}

/// A scenario in one world.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    config: ScenarioConfig,
    start: UnixMillis,
    /// Whom incident 0, 1, 2, … touches, in turn.
    victims: Vec<Victim>,
}

#[derive(Clone, Debug)]
struct Victim {
    name: String,
    /// Rank of an issuer, index of a source.
    index: usize,
}

/// Shares of cards that a single issuer must have for its outage to be worth a page and yet not be the whole world.
const ISSUER_SHARES: std::ops::Range<f64> = 0.05..0.10;

/// An issuer in an outage does not answer this share of its authorizations.
const ISSUER_DOWN_SHARE: f64 = 0.9;

/// A provider with timeouts does not answer this share of its calls.
const TIMEOUT_SHARE: f64 = 0.5;

impl Scenario {
    pub(crate) fn new(
        config: ScenarioConfig,
        start: UnixMillis,
        world: &World,
        sources: &[&str],
        seed: u64,
    ) -> Self {
        let mut victims: Vec<Victim> = match config.kind {
            ScenarioKind::Steady => Vec::new(),
            ScenarioKind::IssuerOutage => {
                let large = world.issuers().iter().filter(|issuer| ISSUER_SHARES.contains(&issuer.share));
                large.map(|issuer| Victim { name: issuer.name.to_owned(), index: issuer.rank }).collect()
            }
            ScenarioKind::ProviderTimeouts | ScenarioKind::DeadSource => {
                let sources = sources.iter().enumerate();
                sources.map(|(index, name)| Victim { name: (*name).to_owned(), index }).collect()
            }
        };
        if !victims.is_empty() {
            let turn = usize::try_from(seed % victims.len() as u64).unwrap_or(0);
            victims.rotate_left(turn);
        }
        Self { config, start, victims }
    }

    /// The incident that is going on at `at`.
    pub(crate) fn incident_at(&self, at: UnixMillis) -> Option<Incident> {
        let number = self.number_at(at)?;
        let incident = self.incident(number)?;
        (incident.since <= at && at < incident.until).then_some(incident)
    }

    /// When the next incident begins after `at`.
    pub(crate) fn next_after(&self, at: UnixMillis) -> Option<UnixMillis> {
        let next = match self.number_at(at) {
            None => 0,
            Some(number) => number + 1,
        };
        self.incident(next).map(|incident| incident.since)
    }

    /// What the incident at `at` does to a payment.
    pub(crate) fn disturbance_at(&self, at: UnixMillis) -> Option<Disturbance> {
        self.incident_at(at)?;
        let index = self.victim(self.number_at(at)?)?.index;
        match self.config.kind {
            ScenarioKind::Steady | ScenarioKind::DeadSource => None,
            ScenarioKind::IssuerOutage => {
                Some(Disturbance::IssuerDown { rank: index, share: ISSUER_DOWN_SHARE })
            }
            ScenarioKind::ProviderTimeouts => {
                Some(Disturbance::SourceTimesOut { source: index, share: TIMEOUT_SHARE })
            }
        }
    }

    /// The source whose webhooks are held back at `at`, and until when.
    pub(crate) fn dead_source_at(&self, at: UnixMillis) -> Option<(usize, UnixMillis)> {
        if self.config.kind != ScenarioKind::DeadSource {
            return None;
        }
        let incident = self.incident_at(at)?;
        Some((self.victim(incident.number)?.index, incident.until))
    }

    /// The latest incident that has begun by `at`.
    fn number_at(&self, at: UnixMillis) -> Option<u32> {
        let first = self.start.plus(self.config.onset);
        let elapsed = at.0.checked_sub(first.0).and_then(|elapsed| u64::try_from(elapsed).ok())?;
        let Some(pause) = self.config.pause else { return Some(0) };
        let period = u64::try_from((self.config.duration + pause).as_millis()).unwrap_or(u64::MAX).max(1);
        u32::try_from(elapsed / period).ok()
    }

    fn victim(&self, number: u32) -> Option<&Victim> {
        let turn = usize::try_from(number).ok()?.checked_rem(self.victims.len())?;
        self.victims.get(turn)
    }

    fn incident(&self, number: u32) -> Option<Incident> {
        let victim = self.victim(number)?;
        let period = match self.config.pause {
            Some(pause) => self.config.duration + pause,
            None if number > 0 => return None,
            None => Duration::ZERO,
        };
        let since = self.start.plus(self.config.onset).plus(period.saturating_mul(number));
        Some(Incident {
            scenario: self.config.kind.to_string(),
            number,
            dimension: self.config.kind.dimension().to_owned(),
            affected: victim.name.clone(),
            effect: self.config.kind.effect().to_owned(),
            since,
            until: since.plus(self.config.duration),
        })
    }
}

impl ScenarioKind {
    fn dimension(self) -> &'static str {
        match self {
            Self::Steady => "",
            Self::IssuerOutage => "issuer",
            Self::ProviderTimeouts | Self::DeadSource => "source",
        }
    }

    fn effect(self) -> &'static str {
        match self {
            Self::Steady => "",
            Self::IssuerOutage => "90% of authorizations unanswered (issuer_unavailable)",
            Self::ProviderTimeouts => "50% of calls time out (processor_error), most of them untold",
            Self::DeadSource => "no webhooks",
        }
    }
}

#[cfg(test)]
mod tests {
    use payments::Provider;

    use super::*;

    const START: UnixMillis = UnixMillis(1_795_316_820_000);

    fn scenario(kind: ScenarioKind, pause: Option<Duration>) -> Scenario {
        let world = World::new(1, START, &[Provider::Stripe, Provider::Adyen]);
        let config = ScenarioConfig { pause, ..ScenarioConfig::new(kind) };
        Scenario::new(config, START, &world, &["stripe-us", "adyen-eu"], 0)
    }

    fn after(seconds: u64) -> UnixMillis {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_incident_has_its_time_and_then_another_victim() {
        let outages = scenario(ScenarioKind::IssuerOutage, Some(Duration::from_mins(3)));
        assert_eq!(outages.incident_at(after(59)), None);
        assert_eq!(outages.next_after(after(0)), Some(after(60)));
        let first = outages.incident_at(after(60)).unwrap();
        assert_eq!((first.since, first.until), (after(60), after(270)));
        assert_eq!(outages.incident_at(after(269)), Some(first.clone()));
        assert_eq!(outages.incident_at(after(270)), None);
        let second = outages.incident_at(after(450)).unwrap();
        assert_ne!(second.affected, first.affected);
        assert_eq!(second.number, 1);
    }

    #[test]
    fn without_a_pause_there_is_one_incident_only() {
        let once = scenario(ScenarioKind::IssuerOutage, None);
        assert!(once.incident_at(after(60)).is_some());
        assert_eq!(once.incident_at(after(100_000)), None);
        assert_eq!(once.next_after(after(61)), None);
    }

    #[test]
    fn only_a_dead_source_holds_webhooks_back_and_only_the_others_disturb_payments() {
        let dead = scenario(ScenarioKind::DeadSource, None);
        assert_eq!(dead.dead_source_at(after(61)), Some((0, after(270))));
        assert_eq!(dead.disturbance_at(after(61)), None);
        let timeouts = scenario(ScenarioKind::ProviderTimeouts, None);
        assert_eq!(timeouts.dead_source_at(after(61)), None);
        assert_eq!(
            timeouts.disturbance_at(after(61)),
            Some(Disturbance::SourceTimesOut { source: 0, share: 0.5 })
        );
    }

    #[test]
    fn steady_times_have_no_incident_ever() {
        let steady = scenario(ScenarioKind::Steady, Some(Duration::ZERO));
        assert_eq!(steady.incident_at(after(1_000)), None);
        assert_eq!(steady.next_after(after(0)), None);
    }
}
