//! Slack's Block Kit, as far as a page needs it, within its limits.

use serde::Serialize;

use crate::channels::Outgoing;
use crate::page::{Action, Message, Page, body_lines, footer, message_title, minimal_text};

/// Characters of a header block (Block Kit reference).
pub(super) const HEADER_CHARS_MAX: usize = 150;
/// Characters of a section's text.
pub(super) const SECTION_CHARS_MAX: usize = 3_000;
/// Blocks of a message.
pub(super) const BLOCKS_MAX: usize = 50;

#[derive(Serialize)]
pub(super) struct SlackMessage {
    /// What notifications and the lock screen show.
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Block>,
    unfurl_links: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Header { text: Text },
    Section { text: Text },
    Context { elements: Vec<Text> },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Text {
    PlainText {
        text: String,
        emoji: bool,
    },
    /// Invariant: verbatim, or Slack makes links of whatever looks like an address or a channel, an outsider's name too.
    Mrkdwn {
        text: String,
        verbatim: bool,
    },
}

/// The whole message.
pub(super) fn message(outgoing: &Outgoing<'_>) -> SlackMessage {
    let message = outgoing.message;
    if outgoing.minimal {
        let text = escape(&minimal_text(message));
        return SlackMessage { text, blocks: Vec::new(), unfurl_links: false };
    }
    let title = message_title(message);
    let header = Block::Header {
        text: Text::PlainText {
            text: cut(&plain(&format!("{} {title}", mark(message.action))), HEADER_CHARS_MAX),
            emoji: false,
        },
    };
    let mut blocks = vec![header];
    if !message.line.is_empty() {
        blocks.push(section(&escape(&message.line)));
    }
    // The six lines of a phone's first screen, then what is read on demand.
    let lines: Vec<String> = body_lines(message)
        .into_iter()
        .filter(|(label, _)| !matches!(*label, "Board" | "Runbook"))
        .map(|(label, line)| format!("*{label}*  {}", escape(&line)))
        .collect();
    let (first, rest) = lines.split_at(lines.len().min(6));
    blocks.push(section(&first.join("\n")));
    if !rest.is_empty() {
        blocks.push(section(&rest.join("\n")));
    }
    blocks.push(section(&links(&message.page)));
    blocks.push(Block::Context { elements: vec![mrkdwn(&escape(&footer(&message.page)))] });
    blocks.truncate(BLOCKS_MAX);
    SlackMessage { text: escape(&fallback(message, &title)), blocks, unfurl_links: false }
}

/// Colour is never the only carrier: the words `P1` and `RESOLVED` are in the title too.
fn mark(action: Action) -> &'static str {
    match action {
        Action::Trigger => "🔴",
        Action::Update => "🟠",
        Action::Resolve | Action::Missed => "🟢",
    }
}

fn fallback(message: &Message, title: &str) -> String {
    if message.line.is_empty() { title.to_owned() } else { format!("{title}\n{}", message.line) }
}

fn links(page: &Page) -> String {
    let mut links = vec![format!("<{}|Board>", address(&page.links.board))];
    if page.links.runbook.starts_with("https://") || page.links.runbook.starts_with("http://") {
        links.push(format!("<{}|Runbook>", address(&page.links.runbook)));
    } else {
        links.push(format!("Runbook: {}", escape(&page.links.runbook)));
    }
    links.join(" · ")
}

fn section(text: &str) -> Block {
    Block::Section { text: mrkdwn(text) }
}

fn mrkdwn(text: &str) -> Text {
    Text::Mrkdwn { text: cut(text, SECTION_CHARS_MAX), verbatim: true }
}

/// Slack's three control characters become entities: no `<!channel>`, no `<@user>`, no link of an outsider's making.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// For plain text, where nothing is interpreted but entities may be: brackets that mean nothing anywhere.
fn plain(text: &str) -> String {
    text.replace('<', "‹").replace('>', "›")
}

/// An address inside `<…|…>`: what would end it is percent-encoded.
fn address(url: &str) -> String {
    url.replace('<', "%3C").replace('>', "%3E").replace('|', "%7C").replace('&', "&amp;").replace(' ', "%20")
}

/// At most `chars_max` characters, never ending inside an entity.
fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(chars_max - 1).collect();
    if let Some(open) = kept.rfind('&')
        && !kept[open..].contains(';')
    {
        kept.truncate(open);
    }
    kept.push('…');
    kept
}
