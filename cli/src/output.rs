// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Data goes to stdout, as text or as one JSON document per line; everything else to stderr.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `key  value` lines, lists as indented blocks.
    Text,
    /// One compact JSON document.
    Json,
}

/// Prints what a command found out.
///
/// # Errors
/// When stdout is closed.
pub(crate) fn print(format: Format, value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{value}"),
        Format::Text => out.write_all(text(value).as_bytes()),
    }
}

/// `value` as aligned `key  value` lines.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => fields(map, indent, out),
        Value::Array(items) if items.is_empty() => line(indent, "(none)", out),
        Value::Array(items) => items.iter().for_each(|v| item(v, indent, out)),
        leaf => line(indent, &scalar(leaf), out),
    }
}

fn fields(map: &Map<String, Value>, indent: usize, out: &mut String) {
    let width = map.iter().filter(|(_, v)| is_leaf(v)).map(|(k, _)| k.len()).max().unwrap_or(0);
    for (key, value) in map {
        if is_leaf(value) {
            line(indent, format!("{key:width$}  {}", scalar(value)).trim_end(), out);
        } else {
            line(indent, &format!("{key}:"), out);
            block(value, indent + 2, out);
        }
    }
}

fn item(value: &Value, indent: usize, out: &mut String) {
    if is_leaf(value) {
        return line(indent, &scalar(value), out);
    }
    let mut inner = String::new();
    block(value, indent + 2, &mut inner);
    // The first line of an item carries the dash.
    let start = inner.len() - inner.trim_start().len();
    out.push_str(&" ".repeat(indent));
    out.push_str("- ");
    out.push_str(inner.get(start..).unwrap_or_default());
}

fn line(indent: usize, content: &str, out: &mut String) {
    out.push_str(&" ".repeat(indent));
    out.push_str(content);
    out.push('\n');
}

fn is_leaf(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_))
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_aligns_fields_and_marks_items() {
        let v =
            json!({"app": "0x1", "paused": false, "codes": [{"hash": "0x2", "state": "Active"}], "none": []});
        assert_eq!(
            text(&v),
            "app     0x1\npaused  false\ncodes:\n  - hash   0x2\n    state  Active\nnone:\n  (none)\n"
        );
    }
}
