//! JSON text in the default style of Python's `json.dumps`, in which the paper's traces are published: `", "` and `": "` as separators and
//! every character outside printable ASCII escaped.

use std::fmt::Write;

/// Appends `text` as a JSON string. Escapes as Python's `ensure_ascii` does: short forms for `"`, `\`, newline, return, tab, form feed and
/// backspace, `\uXXXX` in lower-case hex for all else outside space to tilde, surrogate pairs beyond the basic plane.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0c}' => out.push_str("\\f"),
            '\u{08}' => out.push_str("\\b"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// Appends one object whose values are strings or null, in the order given.
pub fn write_object<'a>(out: &mut String, fields: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
    out.push('{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_string(out, name);
        out.push_str(": ");
        match value {
            Some(text) => write_string(out, text),
            None => out.push_str("null"),
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dumped(text: &str) -> String {
        let mut out = String::new();
        write_string(&mut out, text);
        out
    }

    #[test]
    fn escapes_are_those_of_python() {
        assert_eq!(dumped("a\"b\\c/\n\r\t\u{0c}\u{08}"), r#""a\"b\\c/\n\r\t\f\b""#);
        assert_eq!(dumped("\u{0}\u{1f}\u{7f}"), r#""\u0000\u001f\u007f""#);
        assert_eq!(dumped("é€😀"), r#""\u00e9\u20ac\ud83d\ude00""#);
    }

    #[test]
    fn objects_keep_their_order_and_show_null() {
        let mut out = String::new();
        write_object(&mut out, [("b", Some("1")), ("a", None)]);
        assert_eq!(out, r#"{"b": "1", "a": null}"#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back_and_is_ascii(text in any::<String>()) {
            let out = dumped(&text);
            prop_assert!(out.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&out).ok(), Some(text));
        }
    }
}
