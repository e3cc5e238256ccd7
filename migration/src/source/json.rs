//! The JSON of the broker's configuration, which is not quite JSON: keys that are numbers stand without quotes, as in `{0:12,1:13}`.

use serde_json::Value;

/// Reads it.
pub(crate) fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(&quote_keys(text))
}

/// The text with quotes around the keys that have none.
fn quote_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    // For each bracket that is open, whether it is of an object.
    let mut objects = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '"' => {
                let mut escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    match c {
                        _ if escaped => escaped = false,
                        '\\' => escaped = true,
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '[' => objects.push(false),
            '{' => objects.push(true),
            ']' | '}' => {
                objects.pop();
            }
            _ => {}
        }
        if c != '{' && c != ',' || objects.last() != Some(&true) {
            continue;
        }
        while let Some(space) = chars.next_if(|next| next.is_whitespace()) {
            out.push(space);
        }
        if chars
            .peek()
            .is_some_and(|next| next.is_ascii_digit() || *next == '-')
        {
            out.push('"');
            while let Some(digit) = chars.next_if(|next| next.is_ascii_digit() || *next == '-') {
                out.push(digit);
            }
            out.push('"');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn keys_that_are_numbers_get_their_quotes_and_nothing_else_changes() {
        let text = r#"{"t@g":{0:12, 1:13,
            "2":-1},"list":[1,2,{3:4}],"text":"{0:1,2:\"3,4\"}","n":5}"#;
        let value = parse(text).unwrap();
        assert_eq!(value["t@g"]["0"], 12);
        assert_eq!(value["t@g"]["1"], 13);
        assert_eq!(value["t@g"]["2"], -1);
        assert_eq!(value["list"][0], 1);
        assert_eq!(value["list"][2]["3"], 4);
        assert_eq!(value["text"], r#"{0:1,2:"3,4"}"#);
        assert_eq!(parse("{}").unwrap(), serde_json::json!({}));
        parse("{0:").unwrap_err();
    }
}
