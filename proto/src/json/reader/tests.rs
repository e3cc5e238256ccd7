use std::collections::BTreeMap;

use super::*;
use crate::json::from_slice;

fn reader(text: &str) -> Reader<'_> {
    Reader::new(text, JsonLimits::default())
}

fn skipped(text: &str) -> Result<()> {
    let mut reader = reader(text);
    reader.skip()?;
    reader.finish()
}

#[test]
fn plain_strings_are_borrowed() {
    let mut plain = reader(r#" "abc" "#);
    assert!(matches!(plain.string().unwrap(), Cow::Borrowed("abc")));
    let mut escaped = reader(r#""a\u0001b\n\"\\\/""#);
    assert_eq!(escaped.string().unwrap(), "a\u{1}b\n\"\\/");
}

#[test]
fn surrogates() {
    assert_eq!(reader(r#""\uD83D\uDE80""#).string().unwrap(), "\u{1F680}");
    assert_eq!(reader(r#""\uD83D!""#).string().unwrap(), "\u{FFFD}!");
    assert_eq!(reader(r#""\uDE80\uD83D""#).string().unwrap(), "\u{FFFD}\u{FFFD}");
}

#[test]
fn fastjson_shapes() {
    let ids: BTreeMap<i64, String> = from_slice(br#"{0:"a",-1:"b","7":"c"}"#).unwrap();
    assert_eq!(ids.get(&-1).map(String::as_str), Some("b"));
    assert_eq!(ids.len(), 3);
    skipped(r#"{{"brokerName":"b","queueId":0,"topic":"T"}:{"x":1},{"a":[1,2]}:9}"#).unwrap();
    skipped(r#"{'single':'q',bare:true,,"c":null,}"#).unwrap();
    skipped(r#"{"a":{"$ref":"$.b[0]"}}"#).unwrap();
}

#[test]
fn numbers() {
    assert_eq!(reader("-12").integer().unwrap(), -12);
    assert_eq!(reader("\"12\"").integer().unwrap(), 12);
    assert_eq!(reader("12.0").integer().unwrap(), 12);
    assert_eq!(reader("9223372036854775807").integer().unwrap(), i64::MAX);
    assert_eq!(
        reader("9223372036854775808").integer().unwrap_err().kind,
        JsonErrorKind::NumberOutOfRange
    );
    assert_eq!(
        reader("1.5").integer().unwrap_err().kind,
        JsonErrorKind::WrongType("an integer")
    );
    assert_eq!(reader("1.5e1").float().unwrap(), 15.0);
}

#[test]
fn integers_of_every_length() {
    for value in [
        0,
        9,
        -9,
        123_456_789_012_345_678,
        -999_999_999_999_999_999,
        i64::MAX,
        i64::MIN,
    ] {
        for text in [
            format!("[{value}]"),
            format!("[ {value} ]"),
            format!("[{value}.0]"),
            format!("[\"{value}\"]"),
        ] {
            let mut found = None;
            reader(&text)
                .elements(|reader| {
                    found = Some(reader.integer()?);
                    Ok(())
                })
                .unwrap();
            assert_eq!(found, Some(value), "{text}");
        }
    }
}

#[test]
fn broken_documents() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "[1",
        "\"",
        "\"\\",
        "\"\\u12",
        "\"\\q\"",
        "tru",
        "nul",
        "@",
        "{1 2}",
        "[1 2]",
        "{:1}",
        "{\"a\" 1}",
        "]",
        "}",
        ":",
    ] {
        assert!(skipped(text).is_err(), "{text:?} was taken");
    }
    assert_eq!(skipped("1 2").unwrap_err().kind, JsonErrorKind::TrailingText);
}

#[test]
fn limits_hold() {
    let deep = "[".repeat(100_000);
    assert_eq!(
        skipped(&deep).unwrap_err().kind,
        JsonErrorKind::TooDeep(MAX_JSON_DEPTH)
    );
    let deep_keys = "{".repeat(100_000);
    assert_eq!(
        skipped(&deep_keys).unwrap_err().kind,
        JsonErrorKind::TooDeep(MAX_JSON_DEPTH)
    );
    let limits = JsonLimits {
        max_depth: 4,
        max_values: 4,
        max_containers: 2,
    };
    assert_eq!(
        Reader::new("[1,2,3,4]", limits).skip().unwrap_err().kind,
        JsonErrorKind::TooManyValues(4)
    );
    assert_eq!(
        Reader::new("[{},{}]", limits).skip().unwrap_err().kind,
        JsonErrorKind::TooManyContainers(2)
    );
    assert_eq!(Reader::new("[{},1,2]", limits).skip(), Ok(()));
}
