//! Numbers in properties, as Java reads them: a property that a Java broker takes for a number is one here, and no other.
//!
//! Two spellings of Java are not read, for no producer writes them: digits of other scripts, and hexadecimal fractions.

use super::expression::Number;

/// The number in a text, in the type of `example`.
pub(super) fn like(example: Number, text: &[u8]) -> Option<Number> {
    match example {
        Number::Int(_) => whole(text)?.parse().ok().map(Number::Int),
        Number::Long(_) => whole(text)?.parse().ok().map(Number::Long),
        Number::Double(_) => double(text).map(Number::Double),
    }
}

/// A whole number: digits behind a sign or none, and nothing else.
fn whole(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

/// A fraction: blanks around it do not count, and it may end with the letter of its type.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_matches(|c: char| c <= ' ');
    let (is_negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let number = match magnitude {
        "NaN" => return Some(f64::NAN),
        "Infinity" => f64::INFINITY,
        _ => {
            let magnitude = magnitude.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(magnitude);
            let is_plain =
                |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
            // The library also reads words, and a second sign.
            let is_number = magnitude.bytes().all(is_plain) && !magnitude.starts_with(['+', '-']);
            is_number.then(|| magnitude.parse().ok())??
        }
    };
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        let int = |text: &str| like(Number::Int(0), text.as_bytes());
        assert_eq!(int("7"), Some(Number::Int(7)));
        assert_eq!(int("+7"), Some(Number::Int(7)));
        assert_eq!(int("-007"), Some(Number::Int(-7)));
        assert_eq!(int("-2147483648"), Some(Number::Int(i32::MIN)));
        for text in [
            "",
            " 7",
            "7 ",
            "7.0",
            "7L",
            "0x7",
            "+",
            "-",
            "--7",
            "2147483648",
            "1e3",
        ] {
            assert_eq!(int(text), None, "{text}");
        }
        assert_eq!(
            like(Number::Long(0), b"2147483648"),
            Some(Number::Long(2_147_483_648))
        );
    }

    #[test]
    fn fractions() {
        for (text, number) in [
            ("7", 7.0),
            (" 7.5\t", 7.5),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("+5e3", 5000.0),
            ("5E-1", 0.5),
            ("1.5f", 1.5),
            ("1d", 1.0),
            ("1e999", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(double(text.as_bytes()), Some(number), "{text}");
        }
        assert!(double(b"-NaN").is_some_and(f64::is_nan));
        for text in [
            "",
            " ",
            "-",
            ".",
            "e5",
            "1e",
            "inf",
            "nan",
            "infinity",
            "Infinityd",
            "--1",
            "+-1",
            "1_0",
            "1 0",
            "d",
        ] {
            assert_eq!(double(text.as_bytes()), None, "{text}");
        }
        assert_eq!(double(b"\xff"), None);
    }
}
