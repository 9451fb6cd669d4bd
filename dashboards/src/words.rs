//! Text from outside (sources, issuers, decline codes, alert titles): what may stand on the page. Escaping is
//! `maud`'s; this is about what escaping does not cover.

/// Longest name from outside, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 40;
/// Longest sentence from outside (an alert's title, an impact line), in characters.
pub(crate) const SENTENCE_CHARS_MAX: usize = 160;

/// A name fit for the page: printable, one space between words, at most [`NAME_CHARS_MAX`] characters.
pub(crate) fn name(text: &str) -> String {
    printable(text, NAME_CHARS_MAX)
}

/// A sentence fit for the page, at most [`SENTENCE_CHARS_MAX`] characters.
pub(crate) fn sentence(text: &str) -> String {
    printable(text, SENTENCE_CHARS_MAX)
}

/// `link` if it is a web address; anything else (`javascript:`, a path) is not to be made clickable.
pub(crate) fn web_address(link: &str) -> Option<&str> {
    let scheme_is_web = link.starts_with("https://") || link.starts_with("http://");
    let is_plain = link.len() <= 2_000 && link.chars().all(|c| c.is_ascii_graphic());
    (scheme_is_web && is_plain).then_some(link)
}

fn printable(text: &str, chars_max: usize) -> String {
    let mut kept = String::new();
    let mut count = 0;
    // Ten thousand invisible characters are not worth a look.
    for character in text.chars().take(chars_max * 8) {
        let character = if character.is_whitespace() { ' ' } else { character };
        let is_second_space = character == ' ' && (kept.is_empty() || kept.ends_with(' '));
        if is_second_space || character.is_control() || is_invisible(character) {
            continue;
        }
        if count == chars_max {
            kept.pop();
            kept.truncate(kept.trim_end().len());
            kept.push('…');
            return kept;
        }
        kept.push(character);
        count += 1;
    }
    kept.truncate(kept.trim_end().len());
    if kept.is_empty() { "(empty)".to_owned() } else { kept }
}

/// Characters without a shape of their own that reorder, join or hide others: bidirectional controls (Unicode UAX #9),
/// zero-width characters, fillers, variation selectors, tags, private use.
fn is_invisible(character: char) -> bool {
    matches!(u32::from(character),
        0xAD | 0x34F | 0x61C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xE000..=0xF8FF | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
        | 0xFFF0..=0xFFFB | 0xE_0000..=0xE_0FFF | 0xF_0000..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_reorders_or_hides_is_gone() {
        assert_eq!(name("Harbour\r\n\u{202E}Bank\u{200B}\u{7}"), "Harbour Bank");
        assert_eq!(name("\u{2066}\u{feff} \t"), "(empty)");
    }

    #[test]
    fn a_long_name_is_cut_and_says_so() {
        let cut = name(&"x".repeat(10_000));
        assert_eq!(cut.chars().count(), NAME_CHARS_MAX);
        assert!(cut.ends_with('…'));
        assert_eq!(name(&"x".repeat(NAME_CHARS_MAX)).chars().last(), Some('x'));
    }

    #[test]
    fn only_web_addresses_are_clickable() {
        assert_eq!(web_address("https://runbooks.example/a"), Some("https://runbooks.example/a"));
        for link in ["javascript:alert(1)", "docs/runbooks/a.md", "https://a\nb", "data:text/html,x", ""] {
            assert_eq!(web_address(link), None, "{link}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_out_short_and_printable(text in "\\PC{0,200}|.{0,200}") {
            let out = name(&text);
            prop_assert!(!out.is_empty() && out.chars().count() <= NAME_CHARS_MAX);
            prop_assert!(!out.chars().any(|c| c.is_control() || is_invisible(c)));
        }
    }
}
