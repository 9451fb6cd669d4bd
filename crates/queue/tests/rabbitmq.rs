//! Against a real RabbitMQ. A node takes seconds to start, so scenarios that leave it as it is share one, side by side,
//! each with queues of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, like the test itself, and says what the broker said"
)]

#[path = "rabbitmq/cluster.rs"]
mod cluster;
#[path = "rabbitmq/consuming.rs"]
mod consuming;
#[path = "rabbitmq/harness.rs"]
mod harness;
#[path = "rabbitmq/publishing.rs"]
mod publishing;
#[path = "rabbitmq/spooling.rs"]
mod spooling;
#[path = "rabbitmq/tls.rs"]
mod tls;
#[path = "rabbitmq/topology.rs"]
mod topology;
#[path = "rabbitmq/traffic.rs"]
mod traffic;
#[path = "rabbitmq/trouble.rs"]
mod trouble;

use harness::Place;
use testing::rabbitmq::Node;

/// Runs scenarios side by side, each in a place named like it.
macro_rules! on_one_node {
    ($test:ident: $($module:ident::$scenario:ident),+ $(,)?) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            let node = Node::start();
            tokio::join!($($module::$scenario(Place::new(&node, stringify!($scenario)))),+);
        }
    };
}

on_one_node!(publishing:
    publishing::what_is_published_together_travels_in_few_messages_and_comes_out_as_it_was,
    publishing::without_framing_every_record_is_a_message_that_others_can_read,
    publishing::lanes_are_queues_of_their_own,
    publishing::a_queue_deleted_under_us_is_an_error_and_is_there_again_for_the_next,
    publishing::a_queue_that_rejects_is_an_error_at_once,
    publishing::too_much_at_once_is_refused_and_closing_answers_everybody,
    publishing::queues_that_are_not_as_they_must_be_end_the_start_and_a_broker_that_is_away_does_not,
    publishing::a_wrong_password_is_named_and_not_shown,
);

on_one_node!(consuming:
    topology::the_queues_are_declared_again_and_again_and_a_difference_is_named,
    consuming::what_is_not_acknowledged_is_delivered_again_to_another_consumer,
    consuming::a_position_that_was_not_received_cannot_be_acknowledged,
    consuming::two_consumers_share_the_work,
    consuming::a_flood_in_one_lane_leaves_the_other_its_share_of_the_next_batch,
    consuming::a_backlog_in_one_lane_is_no_queue_for_the_other,
    consuming::a_small_prefetch_is_handed_out_at_once_and_acknowledging_brings_more,
    consuming::a_record_that_ends_every_consumer_is_found_in_its_frame_rests_and_is_dead_and_all_others_are_stored,
);

on_one_node!(spooling:
    spooling::what_the_broker_cannot_confirm_is_accepted_and_drained_in_order,
    spooling::what_a_run_leaves_on_the_spool_the_next_one_drains_first,
    spooling::busy_lanes_come_back_to_the_broker_and_keep_their_order,
    spooling::a_full_spool_refuses_until_it_is_drained,
    spooling::a_lane_that_is_refused_goes_through_the_spool_alone,
);
