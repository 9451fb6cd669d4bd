//! The page in a real browser: no console errors, nothing wider than the screen, and a script that does what it says.
//!
//! `TILLWATCH_SCREENSHOTS=DIR` keeps the pictures; those in `docs/screenshots` are made so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use runtime::Lifecycle;
use tokio::net::TcpListener;

use crate::http::html;
use crate::model::Snapshot;
use crate::page::{document, examples, fragment};
use crate::window::Window;

/// Loads before everything else, watches, and writes what it saw into the page.
const PROBE: &str = r#"
const saw = [];
addEventListener("error", (event) => saw.push("error: " + event.message));
addEventListener("unhandledrejection", (event) => saw.push("rejection: " + event.reason));
document.addEventListener("securitypolicyviolation", (event) => saw.push("policy: " + event.violatedDirective));
setTimeout(() => {
  document.getElementById("snapshot").dataset.first = "yes";
  document.getElementById("json").focus();
  if (location.pathname === "/marked/") getSelection().selectAllChildren(document.querySelector("h1"));
}, 1000);
setTimeout(() => {
  const width = document.documentElement.clientWidth;
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    const hidden = element.closest(".visually-hidden, .skip, .definitions, .plot svg, circle, rect, path");
    if (!hidden && box.width > 0 && box.right > width + 0.5) saw.push("wide: " + element.tagName + "." + element.className);
  }
  if (document.documentElement.scrollWidth > width) saw.push("scrolls sideways");
  const pre = document.createElement("pre");
  pre.id = "probe";
  pre.textContent = JSON.stringify({
    saw, width, title: document.title, lost: document.getElementById("lost").textContent,
    said: document.getElementById("said").textContent, focus: document.activeElement.id,
    replaced: document.getElementById("snapshot")?.dataset.first !== "yes",
    height: document.documentElement.scrollHeight,
  });
  top.document.body.append(pre);
}, 7000);
"#;

const PHONE_WIDTH: u32 = 390;

#[derive(Clone, Copy, Debug)]
struct View {
    page: &'static str,
    width: u32,
    height: u32,
    dark: bool,
}

fn snapshot(page: &str) -> Option<Snapshot> {
    match page {
        "normal" => Some(examples::normal(Window::Hour)),
        "firing" | "lost" | "login" | "marked" => Some(examples::firing(Window::Hour)),
        "six-hours" => Some(examples::firing(Window::SixHours)),
        "stale" => Some(examples::stale(Window::Hour)),
        "store-down" => Some(examples::store_down(Window::Hour)),
        "empty" => Some(examples::empty()),
        _ => None,
    }
}

/// The page as it is served, with the probe let in.
async fn page(UrlPath(page): UrlPath<String>) -> Response {
    let Some(snapshot) = snapshot(&page) else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = html(document(&snapshot, &examples::context()));
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    let policy =
        policy.replace("script-src ", "script-src 'self' ").replace("ancestors 'none'", "ancestors 'self'");
    let text = document(&snapshot, &examples::context()).into_string();
    let text = text.replace("<head>", "<head><script src=\"/probe.js\"></script>");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).unwrap());
    response.headers_mut().remove(header::X_FRAME_OPTIONS);
    *response.body_mut() = text.into();
    response
}

/// A window of this browser is at least 500 wide: a phone is a frame in it.
async fn phone(UrlPath(page): UrlPath<String>) -> Response {
    let frame = format!(
        "<!doctype html><body><iframe src=\"/{page}/\" width=\"{PHONE_WIDTH}\" height=\"800\"></iframe>"
    );
    ([(header::CONTENT_TYPE, "text/html")], frame).into_response()
}

async fn part(State(fetched): State<Arc<AtomicUsize>>, UrlPath(page): UrlPath<String>) -> Response {
    fetched.fetch_add(1, Ordering::SeqCst);
    if page == "login" {
        return html(maud::html! { h1 { "Sign in" } });
    }
    match snapshot(&page).filter(|_| page != "lost") {
        Some(snapshot) => html(fragment(&snapshot, &examples::context())),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn probe() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], PROBE).into_response()
}

struct Site {
    url: String,
    fetched: Arc<AtomicUsize>,
    lifecycle: Lifecycle,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.lifecycle.shut_down();
    }
}

async fn site() -> Site {
    let fetched = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/probe.js", get(probe))
        .route("/phone/{page}", get(phone))
        .route("/{page}/", get(page))
        .route("/{page}/board/fragment", get(part))
        .with_state(fetched.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lifecycle = Lifecycle::new();
    let soft = lifecycle.soft().clone();
    lifecycle.spawn_detached(async move {
        let stopped = async move { soft.cancelled().await };
        axum::serve(listener, router).with_graceful_shutdown(stopped).await.unwrap();
    });
    Site { url, fetched, lifecycle }
}

fn browser() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> =
        std::env::var_os("TILLWATCH_BROWSER").map(PathBuf::from).into_iter().collect();
    candidates.extend(std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))));
    candidates.into_iter().find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("no browser: the board is tested in a real one; run `make tools`, or set TILLWATCH_BROWSER")
    })
}

/// Runs the browser on one view; returns what it wrote to its output and to its log.
async fn browse(url: &str, view: View, more: &[String]) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(browser());
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},{}", view.width, view.height))
        .args(view.dark.then_some("--blink-settings=preferredColorScheme=0"))
        .args(more)
        .arg(url)
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(90), command.output()).await.unwrap().unwrap();
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Loads a view for twelve seconds of the page's own time; returns what the probe saw.
async fn probed(site: &Site, view: View) -> serde_json::Value {
    let in_frame = view.width == PHONE_WIDTH;
    let url = if in_frame {
        format!("{}/phone/{}", site.url, view.page)
    } else {
        format!("{}/{}/", site.url, view.page)
    };
    let more = ["--virtual-time-budget=12000".to_owned(), "--dump-dom".to_owned()];
    let (dom, log) = browse(&url, view, &more).await;
    let console: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    let expected = view.page == "lost";
    assert!(expected || console.is_empty(), "{view:?}: {console:?}");
    let after = dom
        .split("<pre id=\"probe\">")
        .nth(1)
        .unwrap_or_else(|| panic!("{view:?}: no probe in {dom}\n{log}"));
    serde_json::from_str(&after.split("</pre>").next().unwrap().replace("&amp;", "&")).unwrap()
}

/// The whole page, however long it is.
async fn picture(site: &Site, view: View, file: &Path) {
    let seen = probed(site, view).await;
    let height = seen["height"].as_u64().and_then(|height| u32::try_from(height).ok()).unwrap();
    assert!(height > view.height, "{view:?}: {seen}");
    let view = View { height, ..view };
    let url = format!("{}/{}/", site.url, view.page);
    let more = ["--force-device-scale-factor=1".to_owned(), format!("--screenshot={}", file.display())];
    let (_, log) = browse(&url, view, &more).await;
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{view:?}: {error}\n{log}"));
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000, "{view:?}");
}

const DESKTOP: View = View { page: "firing", width: 1200, height: 900, dark: false };
const PHONE: View = View { page: "firing", width: PHONE_WIDTH, height: 800, dark: false };
const DARK: View = View { page: "normal", width: 1200, height: 900, dark: true };
const STALE: View = View { page: "stale", width: 1200, height: 900, dark: false };

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_every_screen_without_an_error() {
    let site = site().await;
    for page in ["normal", "firing", "six-hours", "stale", "store-down", "empty"] {
        for (width, dark) in [(1200, false), (PHONE_WIDTH, true)] {
            let view = View { page, width, height: 900, dark };
            let seen = probed(&site, view).await;
            assert_eq!(seen["saw"].as_array().map(Vec::len), Some(0), "{view:?}: {seen}");
            assert_eq!((&seen["width"], &seen["lost"]), (&width.into(), &"".into()), "{view:?}: {seen}");
            // Nothing has changed: nothing is said, and the focus stays where it was.
            assert_eq!((&seen["replaced"], &seen["said"]), (&true.into(), &"".into()), "{view:?}: {seen}");
            assert_eq!(seen["focus"], "json", "{view:?}: {seen}");
        }
    }
    assert!(site.fetched.load(Ordering::SeqCst) >= 12, "each page fetched its numbers again by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_updated_says_so() {
    let site = site().await;
    let seen = probed(&site, View { page: "lost", ..DESKTOP }).await;
    let lost = seen["lost"].as_str().unwrap();
    assert!(lost.starts_with("Not updating: Tillwatch answered 500. Shown is 03:07:14 UTC"), "{seen}");
    assert_eq!(seen["title"], "NOT UPDATING · Tillwatch");
    assert_eq!(seen["said"], "Not updating: Tillwatch answered 500.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_page_of_a_proxy_is_not_taken_for_the_board() {
    let site = site().await;
    let seen = probed(&site, View { page: "login", ..DESKTOP }).await;
    assert_eq!(seen["replaced"], false, "{seen}");
    let lost = seen["lost"].as_str().unwrap();
    assert!(lost.starts_with("Not updating: something else answered, perhaps a login page."), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_somebody_has_marked_stays() {
    let site = site().await;
    let seen = probed(&site, View { page: "marked", ..DESKTOP }).await;
    assert_eq!(seen["replaced"], false, "{seen}");
    assert_eq!(site.fetched.load(Ordering::SeqCst), 0, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_can_be_seen() {
    let site = site().await;
    let scratch = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("TILLWATCH_SCREENSHOTS").map_or(scratch.path().to_owned(), PathBuf::from);
    for (name, view) in [("desktop", DESKTOP), ("phone", PHONE), ("dark", DARK), ("stale", STALE)] {
        picture(&site, view, &folder.join(format!("board-{name}.png"))).await;
    }
}
