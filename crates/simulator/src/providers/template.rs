//! Bodies as JSON files with places to fill in.
//!
//! A template is valid JSON in which a string `"$name"` stands for a value of any type, or for a key. Each provider
//! keeps its templates beside its file, so that what is posted can be read as it is posted.

use std::borrow::Cow;

/// What goes into a place.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// A JSON string.
    Text(Cow<'a, str>),
    /// A JSON number.
    Number(i64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// JSON as it is.
    Json(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// A JSON string, or `null` for `None`.
    pub(super) fn text_or_null(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// `template` with every place filled from `values`. A place that has no value stays as it is, and the contract test
/// finds it.
pub(super) fn fill(template: &str, values: &[(&str, Value<'_>)]) -> String {
    let mut out = String::with_capacity(template.len() + 1_024);
    let mut rest = template.trim_end();
    while let Some((before, after)) = rest.split_once("\"$") {
        let Some((name, behind)) = after.split_once('"') else { break };
        out.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => push(&mut out, value),
            None => out.push_str(&rest[before.len()..rest.len() - behind.len()]),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn push(out: &mut String, value: &Value<'_>) {
    match value {
        Value::Text(text) => out.push_str(&quote(text)),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Null => out.push_str("null"),
        Value::Json(json) => out.push_str(json),
    }
}

/// `text` as a JSON string.
fn quote(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_with_values_of_their_type() {
        let template =
            r#"{"a": "$text", "b": "$number", "c": "$none", "d": "plain $text", "$key": "$object"}"#;
        let values = [
            ("text", "x\"y".into()),
            ("number", 7.into()),
            ("none", Value::Null),
            ("key", "e".into()),
            ("object", Value::Json("{}".into())),
        ];
        let expected = r#"{"a": "x\"y", "b": 7, "c": null, "d": "plain $text", "e": {}}"#;
        assert_eq!(fill(template, &values), expected);
    }
}
