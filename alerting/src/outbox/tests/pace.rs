//! Channels that ask to wait, hang, or take one message a second: what waits for them, and what does not.

use super::*;

/// Another page.
fn other(action: Action) -> Message {
    let page = crate::page::Page { dedup_key: "0".repeat(32), ..outage() };
    message(action, page)
}

#[tokio::test]
async fn a_channel_that_asks_to_wait_is_left_alone_by_every_page() {
    let mut post = Post::new(ChannelKind::Webhook, &[(429, &[("retry-after", "7")], "")]).await;
    post.queue(&[Action::Trigger]).await;
    post.commit(vec![("pager".to_owned(), other(Action::Trigger))]).await;
    assert_eq!(post.deliver().await, ["retry_after"], "the second page waits too");
    assert_eq!(post.later(Duration::from_millis(6_900)).await, [""; 0]);
    assert_eq!(post.later(Duration::from_millis(100)).await, ["accepted", "accepted"]);
}

#[tokio::test]
async fn a_channel_that_is_down_holds_up_one_page_and_for_a_minute_at_most() {
    let mut post = Post::new(ChannelKind::Webhook, &[(503, &[("retry-after", "3600")], "")]).await;
    post.queue(&[Action::Trigger]).await;
    post.commit(vec![("pager".to_owned(), other(Action::Trigger))]).await;
    assert_eq!(post.deliver().await, ["transient", "accepted"], "the second page is not held");
    assert_eq!(post.next_due_in().await, Some(60.0));
    assert_eq!(post.later(Duration::from_secs(60)).await, ["accepted"]);
}

#[tokio::test]
async fn a_new_page_tries_a_channel_within_a_minute_whatever_the_channel_asked_for() {
    let mut post = Post::new(ChannelKind::Webhook, &[(429, &[("retry-after", "3600")], "")]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["retry_after"]);
    assert_eq!(post.next_due_in().await, Some(300.0), "the page itself waits longer");
    post.commit(vec![("pager".to_owned(), other(Action::Trigger))]).await;
    assert_eq!(post.later(Duration::from_secs(59)).await, [""; 0]);
    assert_eq!(post.later(Duration::from_secs(1)).await, ["accepted"]);
    assert_eq!(post.later(Duration::from_secs(240)).await, ["accepted"]);
}

#[tokio::test]
async fn a_wish_to_wait_for_no_time_is_no_loop() {
    let mut post = Post::new(ChannelKind::Webhook, &[(429, &[("retry-after", "0")], "")]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["retry_after"]);
    assert_eq!(post.later(Duration::from_secs(1)).await, ["accepted"]);
}

#[tokio::test]
async fn slack_gets_one_message_a_second() {
    let mut post = Post::new(ChannelKind::Slack, &[]).await;
    post.queue(&[Action::Trigger]).await;
    post.commit(vec![("pager".to_owned(), other(Action::Trigger))]).await;
    assert_eq!(post.deliver().await, ["accepted"]);
    assert_eq!(post.later(Duration::from_millis(900)).await, [""; 0]);
    assert_eq!(post.later(Duration::from_millis(100)).await, ["accepted"]);
}

#[tokio::test]
async fn a_channel_that_hangs_delays_no_other() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let mut post = Post::new(ChannelKind::Webhook, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let storage = post.courier.storage.clone();
    let mut hanging = courier(folder.path(), "chat", ChannelKind::Slack, &url, true, storage);
    let page = || message(Action::Trigger, outage());
    post.commit(vec![("chat".to_owned(), page()), ("pager".to_owned(), page())]).await;
    tokio::select! {
        biased;
        _ = hanging.step(ONSET) => panic!("it should hang"),
        classes = post.deliver() => assert_eq!(classes, ["accepted"]),
    }
}
