//! The board over HTTP, against the real engine, with rows stored through the store's own API.
//!
//! One test: the engine lives once in a process. Each scenario has a database of its own.

#[cfg(test)]
#[path = "board/harness.rs"]
mod harness;
#[cfg(test)]
#[path = "board/scenarios.rs"]
mod scenarios;

#[tokio::test(flavor = "multi_thread")]
async fn the_board_says_what_the_store_knows() {
    let engine = harness::Engine::start().await;
    scenarios::an_empty_store_waits_for_the_first_webhook(&engine).await;
    scenarios::the_numbers_are_exact_and_copies_are_not_counted(&engine).await;
    scenarios::incidents_are_shown_as_alerting_last_described_them(&engine).await;
    scenarios::incidents_with_one_number_are_told_apart(&engine).await;
    scenarios::alerting_that_has_died_is_told(&engine).await;
    scenarios::a_clock_ahead_of_the_store_does_not_look_fresh(&engine).await;
    scenarios::an_unused_source_does_not_cost_a_day_at_every_look(&engine).await;
    scenarios::the_first_minute_is_shown_before_it_is_over(&engine).await;
    scenarios::what_is_acknowledged_and_not_stored_is_told(&engine).await;
    scenarios::many_viewers_cost_one(&engine).await;
    scenarios::missing_tables_are_a_failure_and_not_an_empty_shop(&engine).await;
    let board = scenarios::a_board_with_something_on_it(&engine).await;
    engine.stop().await;
    scenarios::a_store_that_went_away_leaves_what_was_known(board).await;
}
