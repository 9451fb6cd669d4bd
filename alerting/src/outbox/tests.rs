//! Delivery against a receiver on this machine that answers what the test says.

mod pace;
mod safety;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use payments::UnixMillis;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use runtime::config::{ChannelConfig, ChannelKind, SecretRef};
use runtime::telemetry::Telemetry;

use super::*;
use crate::channels::{Answer, Channel, Sender};
use crate::observations::Observations;
use crate::page::tests::{ONSET, message, outage};
use crate::page::{Action, Message};
use crate::storage::{Storage, TickChanges};

/// An answer: status, headers, body.
type Reply = (u16, &'static [(&'static str, &'static str)], &'static str);

#[derive(Clone, Default)]
struct Receiver {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    got: Arc<Mutex<Vec<(HeaderMap, serde_json::Value)>>>,
}

impl Receiver {
    #[expect(clippy::unused_async, reason = "a handler is a future")]
    async fn handle(State(receiver): State<Self>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
        let body = serde_json::from_slice(&body).unwrap();
        receiver.got.lock().unwrap().push((headers, body));
        let (status, headers, body) =
            receiver.replies.lock().unwrap().pop_front().unwrap_or((200, &[], "ok"));
        let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        response
    }

    /// Starts to listen; returns the address.
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hooks/secret-token", listener.local_addr().unwrap());
        let router = Router::new().route("/hooks/{token}", post(Self::handle)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    fn ids(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(headers, _)| headers["webhook-id"].to_str().unwrap().to_owned()).collect()
    }

    fn types(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|(_, body)| body["type"].as_str().unwrap().to_owned()).collect()
    }
}

struct Post {
    courier: Courier,
    receiver: Receiver,
    now: UnixMillis,
    _folder: tempfile::TempDir,
}

fn write(folder: &Path, name: &str, text: &str) -> SecretRef {
    std::fs::write(folder.join(name), text).unwrap();
    SecretRef { env: None, file: Some(name.into()) }
}

fn courier(
    folder: &Path,
    name: &str,
    kind: ChannelKind,
    url: &str,
    private: bool,
    storage: Storage,
) -> Courier {
    let secrets = match kind {
        ChannelKind::Webhook => vec![write(folder, "key", "whsec_dGlsbHdhdGNoLXRlc3Qta2V5LTAxMjM0NTY3ODk=")],
        ChannelKind::Slack | ChannelKind::Log => vec![],
    };
    let url = (kind != ChannelKind::Log).then(|| write(folder, &format!("{name}.url"), url));
    let config =
        ChannelConfig { name: name.to_owned(), kind, url, secrets, private_address_allowed: private };
    Courier {
        channel: Channel::new(&config, folder).unwrap(),
        storage,
        sender: Sender::new().unwrap(),
        observations: Arc::new(Observations::new(&Telemetry::for_tests().unwrap().meter("alerting"))),
        rng: StdRng::seed_from_u64(1),
        not_before: UnixMillis::default(),
    }
}

impl Post {
    async fn new(kind: ChannelKind, replies: &[Reply]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::default();
        receiver.replies.lock().unwrap().extend(replies);
        let url = receiver.listen().await;
        let storage = Storage::open(&folder.path().join("alerting.sqlite")).unwrap();
        let courier = courier(folder.path(), "pager", kind, &url, true, storage);
        Self { courier, receiver, now: ONSET, _folder: folder }
    }

    async fn queue(&self, actions: &[Action]) {
        let messages =
            actions.iter().map(|action| ("pager".to_owned(), message(*action, outage()))).collect();
        self.commit(messages).await;
    }

    async fn commit(&self, messages: Vec<(String, Message)>) {
        let changes = TickChanges { messages, ..TickChanges::default() };
        self.courier.storage.commit(Arc::default(), Arc::new(changes), self.now).await.unwrap();
    }

    /// Steps until nothing is due; the answers' classes.
    async fn deliver(&mut self) -> Vec<&'static str> {
        let mut classes = Vec::new();
        loop {
            match self.courier.step(self.now).await.unwrap() {
                Progress::Idle => return classes,
                Progress::Skipped => {}
                Progress::Sent(answer) => classes.push(answer.class()),
            }
        }
    }

    async fn later(&mut self, by: Duration) -> Vec<&'static str> {
        self.now = self.now.plus(by);
        self.deliver().await
    }

    async fn next_due_in(&self) -> Option<f64> {
        let next = self.courier.storage.next_due("pager".to_owned()).await.unwrap();
        next.map(|next| (next.0 - self.now.0) as f64 / 1000.0)
    }
}

#[tokio::test]
async fn a_page_its_update_and_its_end_arrive_once_each_and_in_order() {
    let mut post = Post::new(ChannelKind::Webhook, &[]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["accepted"]);
    post.queue(&[Action::Update]).await;
    post.queue(&[Action::Update]).await;
    assert_eq!(post.deliver().await, ["accepted"], "the later update supersedes the earlier");
    post.queue(&[Action::Resolve]).await;
    assert_eq!(post.deliver().await, ["accepted"]);
    assert_eq!(post.receiver.types(), ["alert.triggered", "alert.updated", "alert.resolved"]);
    let key = outage().dedup_key;
    assert_eq!(post.receiver.ids(), [format!("{key}-1"), format!("{key}-3"), format!("{key}-4")]);
}

#[tokio::test]
async fn what_may_pass_later_is_repeated_with_the_same_id() {
    let replies: [Reply; 4] =
        [(503, &[], ""), (429, &[("retry-after", "7")], ""), (408, &[], ""), (425, &[], "")];
    let mut post = Post::new(ChannelKind::Webhook, &replies).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["transient"]);
    let pause = post.next_due_in().await.unwrap();
    assert!((0.8..1.2).contains(&pause), "{pause}");
    assert_eq!(post.later(Duration::from_millis(1_200)).await, ["retry_after"]);
    assert_eq!(post.next_due_in().await, Some(7.0), "the receiver's wish, not our backoff");
    assert_eq!(post.later(Duration::from_secs(6)).await, [""; 0]);
    assert_eq!(post.later(Duration::from_secs(1)).await, ["transient"]);
    assert_eq!(post.later(Duration::from_secs(30)).await, ["transient"]);
    assert_eq!(post.later(Duration::from_secs(30)).await, ["accepted"]);
    let ids = post.receiver.ids();
    assert_eq!(ids.len(), 5);
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn a_crash_between_sending_and_writing_it_down_repeats_the_same_id() {
    let mut post = Post::new(ChannelKind::Webhook, &[]).await;
    post.queue(&[Action::Trigger]).await;
    let line = post.courier.storage.due("pager".to_owned(), post.now).await.unwrap().unwrap();
    let row = &line.waiting[0];
    let outgoing = crate::channels::Outgoing {
        dedup_key: &line.dedup_key,
        seq: row.seq,
        message: &row.message,
        minimal: false,
        now: post.now,
    };
    assert_eq!(post.courier.sender.send(&post.courier.channel, &outgoing).await, Answer::Accepted);
    assert_eq!(post.deliver().await, ["accepted"], "nothing was written down, so it is sent again");
    let ids = post.receiver.ids();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn what_began_and_ended_while_undeliverable_is_one_note_and_no_page() {
    let mut post = Post::new(ChannelKind::Webhook, &[(503, &[], ""), (503, &[], "")]).await;
    post.queue(&[Action::Trigger]).await;
    post.deliver().await;
    post.queue(&[Action::Update]).await;
    post.queue(&[Action::Resolve]).await;
    assert_eq!(post.deliver().await, [""; 0], "the resolve waits behind the trigger");
    assert_eq!(post.later(Duration::from_secs(2)).await, ["transient"]);
    assert_eq!(post.later(Duration::from_secs(5)).await, ["accepted"]);
    assert_eq!(post.receiver.types(), ["alert.triggered", "alert.resolved", "alert.resolved"]);
    let last = post.receiver.got.lock().unwrap().last().unwrap().1.clone();
    assert_eq!(last["data"]["trigger_undelivered"], true);
    assert_eq!(post.later(Duration::from_secs(3_600)).await, [""; 0], "nothing is left");
}

#[tokio::test]
async fn a_refused_form_is_sent_once_more_in_its_plainest() {
    let mut post = Post::new(ChannelKind::Slack, &[(400, &[], "invalid_blocks")]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["accepted"]);
    let got = post.receiver.got.lock().unwrap().clone();
    assert!(got[0].1["blocks"].is_array() && got[1].1["blocks"].is_null());
    assert!(got[1].1["text"].as_str().unwrap().starts_with("P1 Declines"));
}

#[tokio::test]
async fn a_form_refused_twice_is_given_up() {
    let refused: Reply = (400, &[], "invalid_payload");
    let mut post = Post::new(ChannelKind::Slack, &[refused, refused]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["permanent_payload"]);
    post.queue(&[Action::Resolve]).await;
    assert_eq!(post.later(Duration::from_secs(60)).await, [""; 0], "no resolve of what never arrived");
}

#[tokio::test]
async fn a_misconfigured_channel_is_told_to_the_pages_other_channels_and_delivers_once_mended() {
    let mut post = Post::new(ChannelKind::Slack, &[(404, &[], "no_service")]).await;
    let page = || message(Action::Trigger, outage());
    post.commit(vec![("pager".to_owned(), page()), ("log".to_owned(), page())]).await;
    assert_eq!(post.deliver().await, ["permanent_config"]);
    let log = post.courier.storage.due("log".to_owned(), post.now).await.unwrap().unwrap();
    assert_eq!(log.waiting.len(), 2);
    assert!(log.waiting[1].message.line.contains("could not be delivered to pager: HTTP 404: no_service"));
    assert_eq!(post.later(Duration::from_secs(60)).await, ["accepted"]);
}

#[tokio::test]
async fn a_message_is_given_up_after_the_channels_patience() {
    let down: Vec<Reply> = vec![(503, &[], ""); 200];
    let mut post = Post::new(ChannelKind::Slack, &down).await;
    post.queue(&[Action::Trigger]).await;
    let mut attempts = post.deliver().await.len();
    while let Some(pause) = post.next_due_in().await {
        attempts += post.later(Duration::from_secs_f64(pause + 0.001)).await.len();
    }
    let lasted = post.now.since(ONSET);
    assert!((3_600..4_000).contains(&lasted.as_secs()), "{lasted:?}");
    assert!((35..60).contains(&attempts), "{attempts}");
    let depth = post.courier.storage.depth("pager".to_owned()).await.unwrap();
    assert_eq!(depth.waiting, 0);
}

#[tokio::test]
async fn a_note_about_one_channel_never_reopens_the_page_at_another() {
    let down: Vec<Reply> = vec![(503, &[], ""); 200];
    let mut slack = Post::new(ChannelKind::Slack, &down).await;
    let page = |action| message(action, outage());
    let both = |action| vec![("pager".to_owned(), page(action)), ("hook".to_owned(), page(action))];
    slack.commit(both(Action::Trigger)).await;
    slack.deliver().await;
    // Both are told the end; then Slack's is given up, long after the other has it.
    slack.now = slack.now.plus(Duration::from_secs(600));
    slack.commit(both(Action::Resolve)).await;
    while let Some(pause) = slack.next_due_in().await {
        slack.later(Duration::from_secs_f64(pause.max(0.0) + 0.001)).await;
    }
    assert!(slack.now.since(ONSET) >= Duration::from_secs(3_600), "given up");
    let hook = slack.courier.storage.due("hook".to_owned(), slack.now).await.unwrap().unwrap();
    let waiting: Vec<Action> = hook.waiting.iter().map(|row| row.message.action).collect();
    assert_eq!(waiting, [Action::Trigger, Action::Resolve], "and nothing after its end");
}

#[tokio::test]
async fn a_page_that_was_given_up_is_told_anew_with_the_next_news() {
    let refused: Reply = (400, &[], "invalid_payload");
    let mut post = Post::new(ChannelKind::Webhook, &[refused, refused]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["permanent_payload"]);
    post.queue(&[Action::Update]).await;
    assert_eq!(post.later(Duration::from_secs(60)).await, ["accepted"]);
    assert_eq!(post.receiver.types().last().unwrap(), "alert.triggered");
}

#[test]
fn no_order_of_messages_sends_a_resolve_first() {
    use crate::storage::outbox::{Line, Waiting};
    let row = |id: i64, action: Action| Waiting {
        id,
        seq: u32::try_from(id).unwrap(),
        message: message(action, outage()),
        attempts: 0,
        minimal: false,
        created_at: ONSET,
        next_at: ONSET,
        last_error: String::new(),
    };
    let line = |actions: &[Action], delivered_before: bool| Line {
        dedup_key: String::new(),
        waiting: actions.iter().zip(1..).map(|(action, id)| row(id, *action)).collect(),
        delivered_before,
    };
    use Action::{Missed, Resolve, Trigger, Update};
    type Case<'a> = (&'a [Action], bool, Vec<i64>, Option<(i64, Action)>);
    let cases: [Case<'_>; 9] = [
        (&[Trigger], false, vec![], Some((1, Trigger))),
        (&[Trigger, Update, Update], false, vec![], Some((1, Trigger))),
        (&[Update, Update, Update], true, vec![1, 2], Some((3, Update))),
        (&[Update, Resolve], true, vec![1], Some((2, Resolve))),
        // Its trigger was given up.
        (&[Update, Update], false, vec![1], Some((2, Trigger))),
        (&[Update, Resolve], false, vec![1, 2], None),
        (&[Trigger, Update, Resolve], false, vec![1, 2], Some((3, Missed))),
        (&[Resolve], false, vec![1], None),
        (&[], true, vec![], None),
    ];
    for (actions, delivered, superseded, send) in cases {
        assert_eq!(plan(&line(actions, delivered)), Plan { superseded, send }, "{actions:?}");
    }
}

#[tokio::test]
async fn messages_to_channels_that_are_gone_are_dropped_and_counted() {
    let post = Post::new(ChannelKind::Webhook, &[]).await;
    post.queue(&[Action::Trigger, Action::Update]).await;
    let storage = &post.courier.storage;
    assert_eq!(storage.drop_other_channels(vec!["pager".to_owned()], ONSET).await.unwrap(), 0);
    assert_eq!(storage.drop_other_channels(vec!["other".to_owned()], ONSET).await.unwrap(), 2);
}
