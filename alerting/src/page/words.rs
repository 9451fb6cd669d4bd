//! Text from outside (issuer names, decline codes): what may stand in a page.

/// Longest text from outside, in characters.
pub const OUTSIDE_CHARS_MAX: usize = 40;
/// Longest identifier from outside: one that is cut finds nothing.
const ID_CHARS_MAX: usize = 120;

/// `text` fit for a page: no control, bidirectional or invisible characters, one space between words, at most
/// [`OUTSIDE_CHARS_MAX`] characters, and right-to-left text isolated so that it cannot reorder what stands around it.
/// Markup is each channel's to escape.
pub fn outside(text: &str) -> String {
    isolate(shorten(&clean(text, OUTSIDE_CHARS_MAX), OUTSIDE_CHARS_MAX))
}

/// The same for an identifier, which may be longer.
pub fn outside_id(text: &str) -> String {
    isolate(shorten(&clean(text, ID_CHARS_MAX), ID_CHARS_MAX))
}

/// Whether `text` can stand in a command as it is, and the page shows what will be run.
pub fn is_showable(text: &str) -> bool {
    text.chars().count() <= ID_CHARS_MAX && !text.chars().any(|c| c.is_control() || is_invisible(c))
}

/// `text` cut to `chars_max` characters, ending in `…` if something is missing, never between a letter and its
/// combining mark.
pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().take(chars_max.saturating_sub(1)).collect();
    let next = text.chars().nth(kept.len());
    if next.is_some_and(is_combining) {
        while kept.pop().is_some_and(is_combining) {}
    }
    let mut short: String = kept.into_iter().collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

fn clean(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    // Four times the limit is plenty to fill it after cleaning; ten thousand characters are not worth a look.
    for character in text.chars().take(chars_max * 4) {
        if character.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !character.is_control() && !is_invisible(character) {
            out.push(character);
        }
    }
    out.truncate(out.trim_end().len());
    if out.is_empty() { "(empty)".to_owned() } else { out }
}

/// Surrounds right-to-left text by FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE (Unicode UAX #9).
fn isolate(text: String) -> String {
    if text.chars().any(is_right_to_left) { format!("\u{2068}{text}\u{2069}") } else { text }
}

/// Bidirectional controls, zero-width characters, tags and unassigned format characters.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{E000}'..='\u{F8FF}' | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}')
}

fn is_combining(character: char) -> bool {
    matches!(character,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05BD}' | '\u{064B}'..='\u{065F}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
        | '\u{1F3FB}'..='\u{1F3FF}')
}

fn is_right_to_left(character: char) -> bool {
    matches!(character,
        '\u{0590}'..='\u{08FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFE}'
        | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_bidi_and_invisible_characters_are_gone() {
        assert_eq!(outside("Harbour\r\n\u{202E}Bank\u{200B}\u{7}"), "Harbour Bank");
        assert_eq!(outside("\u{2066}\u{feff} \t"), "(empty)");
    }

    #[test]
    fn a_long_name_is_cut_and_says_so() {
        let cut = outside(&"x".repeat(10_000));
        assert_eq!(cut.chars().count(), OUTSIDE_CHARS_MAX);
        assert!(cut.ends_with('…'));
        assert_eq!(shorten("cafe\u{301} au lait", 5), "caf…", "a letter is not parted from its accent");
    }

    #[test]
    fn an_identifier_is_cleaned_but_kept_whole() {
        let id = format!("evt_\u{202E}{}", "0123456789".repeat(8));
        assert_eq!(outside_id(&id), format!("evt_{}", "0123456789".repeat(8)));
    }

    #[test]
    fn right_to_left_names_cannot_reorder_the_page() {
        assert_eq!(outside("بنك"), "\u{2068}بنك\u{2069}");
    }

    proptest! {
        #[test]
        fn any_text_comes_out_short_and_printable(text in ".{0,200}") {
            let out = outside(&text);
            prop_assert!(!out.is_empty() && out.chars().count() <= OUTSIDE_CHARS_MAX + 2);
            prop_assert!(!out.chars().any(char::is_control));
        }
    }
}
