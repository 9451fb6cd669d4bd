//! The keys of this type in a rule file.

use std::collections::BTreeMap;

use payments::{DeclineCategory, DeclineClass};
use serde::Deserialize;
use strum::VariantArray as _;

use super::{Measure, Shape, Side, Threshold};
use crate::rules::keys::{Scope, Wrong, dimensions, filter};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    measure: Measure,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default, rename = "where")]
    only: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    not: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    include_empty: bool,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    window_s: i64,
    lateness_s: Option<i64>,
    #[serde(default = "usual_s")]
    usual_s: i64,
    fire_above: Option<f64>,
    fire_below: Option<f64>,
    recover_below: Option<f64>,
    recover_above: Option<f64>,
    #[serde(default = "wilson_z")]
    wilson_z: f64,
    #[serde(default = "attempts_min")]
    attempts_min: u64,
    #[serde(default = "slices_max")]
    slices_max: usize,
}

fn usual_s() -> i64 {
    3_600
}

fn wilson_z() -> f64 {
    3.29
}

fn attempts_min() -> u64 {
    30
}

fn slices_max() -> usize {
    500
}

impl Threshold {
    pub(in crate::rules) fn read(
        keys: toml::de::Deserializer<'_>,
        wrong: &mut Vec<Wrong>,
    ) -> Result<Self, toml::de::Error> {
        let keys = Keys::deserialize(keys)?;
        let scope = Scope {
            by: dimensions("by", &keys.by, wrong),
            include_empty: keys.include_empty,
            only: filter("where", keys.only, wrong),
            not: filter("not", keys.not, wrong),
        };
        let classes = names("classes", &keys.classes, DeclineClass::VARIANTS, DeclineClass::name, wrong);
        let categories =
            names("categories", &keys.categories, DeclineCategory::VARIANTS, DeclineCategory::name, wrong);
        if !matches!(keys.measure.shape(), Shape::Share(_)) {
            for (key, given) in [("classes", &keys.classes), ("categories", &keys.categories)] {
                if !given.is_empty() {
                    wrong.push((key, "only rates count by it; remove it".to_owned()));
                }
            }
        }
        let default_lateness = if keys.measure == Measure::Volume { 30 } else { 0 };
        let lateness_s = keys.lateness_s.unwrap_or(default_lateness);
        periods(keys.window_s, keys.usual_s, lateness_s, wrong);
        let (side, fire, recover) = lines(
            (keys.fire_above, keys.fire_below),
            (keys.recover_above, keys.recover_below),
            keys.measure,
            wrong,
        );
        if !(0.0..=10.0).contains(&keys.wilson_z) {
            wrong.push((
                "wilson_z",
                format!("{} is not between 0 and 10; 3.29 is one in two thousand", keys.wilson_z),
            ));
        }
        if !(1..=10_000).contains(&keys.slices_max) {
            wrong.push(("slices_max", format!("{} is not between 1 and 10000", keys.slices_max)));
        }
        Ok(Self {
            measure: keys.measure,
            scope,
            classes,
            categories,
            window_minutes: keys.window_s / 60,
            lateness_ms: lateness_s.saturating_mul(1000),
            usual_minutes: keys.usual_s / 60,
            side,
            fire,
            recover,
            wilson_z: keys.wilson_z,
            attempts_min: keys.attempts_min,
            slices_max: keys.slices_max,
        })
    }
}

/// Values of a list that must be among `variants`, or what is wrong with them.
fn names<T: Copy>(
    key: &'static str,
    given: &[String],
    variants: &[T],
    name: impl Fn(T) -> &'static str,
    wrong: &mut Vec<Wrong>,
) -> Vec<T> {
    let mut known = Vec::new();
    for text in given {
        if let Some(variant) = variants.iter().copied().find(|variant| name(*variant) == text) {
            known.push(variant);
        } else {
            let all: Vec<&str> = variants.iter().copied().map(&name).collect();
            wrong.push((key, format!("unknown name `{text}`, expected one of {}", all.join(", "))));
        }
    }
    known
}

fn periods(window_s: i64, usual_s: i64, lateness_s: i64, wrong: &mut Vec<Wrong>) {
    if window_s % 60 != 0 || !(60..=3_600).contains(&window_s) {
        wrong.push(("window_s", format!("{window_s} is not whole minutes between 60 and 3600")));
    }
    if usual_s % 60 != 0 || !(600..=86_400).contains(&usual_s) {
        wrong.push(("usual_s", format!("{usual_s} is not whole minutes between 600 and 86400")));
    }
    if !(0..=3_600).contains(&lateness_s) {
        wrong.push(("lateness_s", format!("{lateness_s} is not between 0 and 3600")));
    }
}

/// The fire line, the recovery line, and whether they make sense together.
fn lines(
    fire: (Option<f64>, Option<f64>),
    recover: (Option<f64>, Option<f64>),
    measure: Measure,
    wrong: &mut Vec<Wrong>,
) -> (Side, f64, f64) {
    let (side, fire_key, fire, recover_key, recover) = match (fire, recover) {
        ((Some(fire), None), (None, Some(recover))) => {
            (Side::Above, "fire_above", fire, "recover_below", recover)
        }
        ((None, Some(fire)), (Some(recover), None)) => {
            (Side::Below, "fire_below", fire, "recover_above", recover)
        }
        ((Some(_), None), _) => {
            wrong.push(("fire_above", "needs recover_below, and no other recovery line".to_owned()));
            return (Side::Above, 0.0, 0.0);
        }
        ((None, Some(_)), _) => {
            wrong.push(("fire_below", "needs recover_above, and no other recovery line".to_owned()));
            return (Side::Below, 0.0, 0.0);
        }
        _ => {
            wrong.push((
                "measure",
                "give either fire_above with recover_below, or fire_below with recover_above".to_owned(),
            ));
            return (Side::Above, 0.0, 0.0);
        }
    };
    let wrong_side = match side {
        Side::Above => recover >= fire,
        Side::Below => recover <= fire,
    };
    if wrong_side {
        let wanted = if side == Side::Above { "below" } else { "above" };
        wrong.push((
            recover_key,
            format!("{recover} is on the wrong side: it must be {wanted} {fire_key} = {fire}"),
        ));
    }
    let is_share = matches!(measure.shape(), Shape::Share(_));
    for (key, value) in [(fire_key, fire), (recover_key, recover)] {
        if !value.is_finite() || value < 0.0 {
            wrong.push((key, format!("{value} is not a positive number")));
        } else if is_share && value > 1.0 {
            wrong.push((key, format!("{value} is no share; 40% is written 0.4")));
        }
    }
    (side, fire, recover)
}
