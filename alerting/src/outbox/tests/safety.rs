//! Where a delivery may not go, and what it may not tell.

use super::*;

#[tokio::test]
async fn a_private_address_is_refused_unless_the_channel_allows_it() {
    let mut post = Post::new(ChannelKind::Webhook, &[]).await;
    let url = post.receiver.listen().await.replace("http://127.0.0.1", "https://localhost");
    let folder = tempfile::tempdir().unwrap();
    let storage = post.courier.storage.clone();
    for url in [url, "https://169.254.169.254/latest/meta-data".to_owned(), "https://[::1]/".to_owned()] {
        post.courier = courier(folder.path(), "pager", ChannelKind::Webhook, &url, false, storage.clone());
        post.queue(&[Action::Trigger]).await;
        assert_eq!(post.later(Duration::from_secs(61)).await, ["permanent_config"], "{url}");
    }
    assert!(post.receiver.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let moved: Reply = (307, &[("location", "http://127.0.0.1:1/elsewhere")], "");
    let mut post = Post::new(ChannelKind::Webhook, &[moved]).await;
    post.queue(&[Action::Trigger]).await;
    assert_eq!(post.deliver().await, ["permanent_config"]);
    assert_eq!(post.receiver.ids().len(), 1);
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_any_log_line_however_a_delivery_ends() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut post =
        Post::new(ChannelKind::Slack, &[(503, &[], ""), (404, &[], "no_service"), (307, &[], "")]).await;
    post.queue(&[Action::Trigger]).await;
    for _ in 0..3 {
        post.later(Duration::from_secs(61)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let storage = post.courier.storage.clone();
    let url = "http://127.0.0.1:1/hooks/secret-token";
    post.courier = courier(folder.path(), "pager", ChannelKind::Slack, url, true, storage);
    post.queue(&[Action::Update]).await;
    assert_eq!(post.later(Duration::from_secs(61)).await, ["transient"]);
    drop(guard);
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("channel is misconfigured") && log.contains("cannot connect"), "{log}");
    assert!(!log.contains("secret-token"), "{log}");
}
