//! Every key of a rule file against the real engine, and the heartbeats that say how current the data are.

use alerting::page::Measured;
use alerting::rules::{self, Evaluation, Held, Instants};
use alerting::slice::Slice;
use alerting::state::Verdict;
use payments::UnixMillis;

use super::harness::{Alerting, Engine, Told, at};
use super::scenarios::{MINUTE, with_history};

/// What a rule with these keys says of the data.
async fn ask(alerting: &Alerting, keys: &str, held: &[Held]) -> Evaluation {
    let text = format!("severity = \"info\"\nowner = \"o\"\nrunbook = \"r\"\n{keys}");
    let rule = rules::parse(std::path::Path::new("rules/question.toml"), &text, &["pager".to_owned()])
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let instants = Instants { now: alerting.now, complete_to: alerting.now };
    rule.evaluate(&alerting.evaluator.reader, instants, held)
        .await
        .unwrap_or_else(|error| panic!("{keys}: {error:?}"))
}

/// Each slice with what was measured of it.
fn measured(evaluation: &Evaluation) -> Vec<(String, Measured)> {
    let mut all: Vec<_> =
        evaluation.samples.iter().map(|sample| (sample.slice.words(), sample.measured)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

pub(crate) async fn every_kind_of_question_is_answered(engine: &Engine) {
    let alerting = with_history(engine, "questions", at("20:00:00"), 75).await;
    let rate = "type = \"threshold\"\nmeasure = \"decline_rate\"\nwindow_s = 300\nfire_above = 0.4\nrecover_below = 0.3\n";
    let attempts = |evaluation: &Evaluation| -> Vec<(String, u64)> {
        let of = |measured| match measured {
            Measured::Share { of, .. } | Measured::Latency { of, .. } => of,
            _ => 0,
        };
        measured(evaluation).into_iter().map(|(slice, measured)| (slice, of(measured))).collect()
    };
    let pairs =
        |pairs: &[(&str, u64)]| pairs.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect::<Vec<_>>();

    // Four whole minutes and the running one, in which nothing happened yet.
    let only =
        ask(&alerting, &format!("{rate}by = [\"issuer\"]\nwhere = {{ provider = [\"adyen\"] }}"), &[]).await;
    let banks = [("issuer Fen Savings", 64), ("issuer Harbour Bank", 64), ("issuer Mill Street Bank", 64)];
    assert_eq!(attempts(&only), pairs(&banks));
    let not =
        ask(&alerting, &format!("{rate}by = [\"issuer\"]\nnot = {{ issuer = [\"Fen Savings\"] }}"), &[])
            .await;
    assert_eq!(attempts(&not), pairs(&[("issuer Harbour Bank", 128), ("issuer Mill Street Bank", 128)]));
    let by_network = format!("{rate}by = [\"network\"]\n");
    assert_eq!(attempts(&ask(&alerting, &by_network, &[]).await), []);
    let empty = ask(&alerting, &format!("{by_network}include_empty = true"), &[]).await;
    assert_eq!(attempts(&empty), pairs(&[("network (empty)", 384)]));
    for measure in ["latency_p95_ms", "latency_p99_ms"] {
        let keys = format!(
            "type = \"threshold\"\nmeasure = \"{measure}\"\nwindow_s = 300\nfire_above = 500\nrecover_below = 400"
        );
        let evaluation = ask(&alerting, &keys, &[]).await;
        assert_eq!(evaluation.samples[0].measured, Measured::Latency { ms: 600.0, of: 384 }, "{measure}");
        assert_eq!(evaluation.samples[0].verdict, Some(Verdict::Breach));
    }
    let feeds = ask(&alerting, "type = \"dead_man\"\nby = [\"issuer\"]\nsilence_s = 120", &[]).await;
    assert_eq!(feeds.samples.len(), 3);
    assert!(feeds.samples.iter().all(|sample| sample.verdict == Some(Verdict::Clear)), "{feeds:?}");
    the_largest_slices_are_looked_at_and_those_that_are_held(&alerting).await;
}

async fn the_largest_slices_are_looked_at_and_those_that_are_held(alerting: &Alerting) {
    let volume = "type = \"threshold\"\nmeasure = \"volume\"\nby = [\"issuer\"]\nwindow_s = 180\nfire_below = 10\nrecover_above = 20\n";
    let rates = ask(alerting, volume, &[]).await;
    assert!(
        rates.samples.iter().all(|sample| sample.measured == Measured::PerMinute { rate: 32.0 }),
        "{rates:?}"
    );

    // The largest of all stopped ten minutes ago; there is room for one slice.
    let until = alerting.now.0 - 10 * MINUTE;
    let died: Vec<Told> = (0..3_000)
        .map(|number| Told::approved("stripe-us", "Old Bank", UnixMillis(until - number * 1_000)))
        .collect();
    alerting.told(&died).await;
    let narrow = ask(alerting, &format!("{volume}slices_max = 1"), &[]).await;
    assert_eq!(measured(&narrow), [("issuer Old Bank".to_owned(), Measured::PerMinute { rate: 0.0 })]);
    assert_eq!((narrow.samples[0].verdict, narrow.truncated), (Some(Verdict::Breach), true));

    let slice =
        rates.samples.iter().map(|sample| &sample.slice).find(|slice| slice.words() == "issuer Fen Savings");
    let held =
        |slice: &Slice| Held { slice: slice.clone(), is_open: true, since: None, usual: None, accrued: None };
    let with_held = ask(alerting, &format!("{volume}slices_max = 1"), &[held(slice.unwrap())]).await;
    let names: Vec<String> = with_held.samples.iter().map(|sample| sample.slice.words()).collect();
    assert_eq!(names, ["issuer Old Bank", "issuer Fen Savings"]);
    assert_eq!(with_held.samples[1].measured, Measured::PerMinute { rate: 32.0 });
}

pub(crate) async fn a_clock_that_is_ahead_is_told_and_believed_no_further_than_it_can_be(engine: &Engine) {
    let mut alerting = Alerting::new(engine, "ahead", at("21:00:00")).await;
    alerting.heartbeat_of("till-1", UnixMillis(alerting.now.0 + 60 * MINUTE)).await;
    let report = alerting.step().await;
    assert_eq!(report.watermark.and_then(alerting::engine::Watermark::complete_to), Some(alerting.now));
    let (_, message) = &report.changes.messages[0];
    assert!(message.page.notes[0].starts_with("the clock of till-1 is ahead"), "{:?}", message.page.notes);

    // Ten minutes later nothing more has come: what it said of the future does not help it.
    alerting.now = UnixMillis(alerting.now.0 + 10 * MINUTE);
    let report = alerting.step().await;
    assert!(
        matches!(report.watermark, Some(alerting::engine::Watermark::Stale(_))),
        "{:?}",
        report.watermark
    );
}
