//! Alerting against the real engine, with rows stored through the store's own API, the shipped rules, a clock that is
//! set, and a receiver that answers what the test says.
//!
//! One test: the engine lives once in a process. Each scenario has a database of its own.

#[cfg(test)]
#[path = "real_engine/completeness.rs"]
mod completeness;
#[cfg(test)]
#[path = "real_engine/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "real_engine/questions.rs"]
mod questions;
#[cfg(test)]
#[path = "real_engine/scenarios.rs"]
mod scenarios;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_becomes_pages() {
    let engine = harness::Engine::start().await;
    scenarios::every_shipped_rule_is_evaluated_and_quiet_traffic_pages_nobody(&engine).await;
    scenarios::an_issuer_outage_is_paged_through_a_failing_receiver_and_resolved(&engine).await;
    scenarios::provider_timeouts_are_one_page(&engine).await;
    scenarios::a_source_that_stopped_is_paged_and_a_quiet_processor_is_not(&engine).await;
    scenarios::slow_answers_and_missing_volume_are_paged(&engine).await;
    scenarios::a_hostile_name_changes_nothing_but_itself(&engine).await;
    questions::every_kind_of_question_is_answered(&engine).await;
    questions::a_clock_that_is_ahead_is_told_and_believed_no_further_than_it_can_be(&engine).await;
    completeness::what_is_acknowledged_and_not_stored_is_paged_until_it_is(&engine).await;
    completeness::nothing_is_told_of_what_has_not_settled_or_while_data_are_stale(&engine).await;
    engine.stop().await;
}
