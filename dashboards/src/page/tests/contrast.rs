//! Colours that can be told from their ground (WCAG 2.2).

use super::STYLE;

/// The value of a colour in the light or the dark theme.
fn colour(name: &str, dark: bool) -> [f64; 3] {
    let mut themes = STYLE.split(":root {").skip(1);
    let theme = themes.nth(usize::from(dark)).unwrap();
    let value = theme.split(&format!("--{name}: #")).nth(1).unwrap();
    [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap()) / 255.0)
}

/// Relative luminance (WCAG 2.2, definition of the term).
fn luminance(rgb: [f64; 3]) -> f64 {
    let linear =
        rgb.map(|part| if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

fn contrast(a: &str, b: &str, dark: bool) -> f64 {
    let (a, b) = (luminance(colour(a, dark)), luminance(colour(b, dark)));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_can_be_read_in_both_themes() {
    let pairs = [
        ("text", "page"),
        ("text", "raised"),
        ("text", "bad-wash"),
        ("text", "warn-wash"),
        ("muted", "page"),
        ("muted", "raised"),
        ("muted", "bad-wash"),
        ("accent", "page"),
        ("accent", "bad-wash"),
        ("accent", "raised"),
        ("good", "page"),
        ("good", "bad-wash"),
        ("warn", "page"),
        ("warn", "warn-wash"),
        ("warn", "raised"),
        ("warn", "bad-wash"),
        ("bad", "page"),
        ("bad", "raised"),
        ("not-approved", "page"),
        ("on-solid", "bad"),
    ];
    for dark in [false, true] {
        for (text, ground) in pairs {
            let ratio = contrast(text, ground, dark);
            assert!(ratio >= 4.5, "{text} on {ground}, dark {dark}: {ratio:.2}");
        }
    }
}

#[test]
fn what_is_drawn_can_be_seen_in_both_themes() {
    for dark in [false, true] {
        for (drawn, ground) in [
            ("accent", "page"),
            ("bar", "page"),
            ("not-approved", "page"),
            ("on-solid", "good"),
            ("on-solid", "warn"),
        ] {
            let ratio = contrast(drawn, ground, dark);
            assert!(ratio >= 3.0, "{drawn} on {ground}, dark {dark}: {ratio:.2}");
        }
    }
}
