use proptest::prelude::*;

use super::parser::{DEPTH_MAX, PROPERTIES_MAX, TEXT_DEPTH_MAX};
use super::*;

/// `a=1 b=x` as stored.
fn stored(properties: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for property in properties.split_whitespace() {
        let (name, value) = property.split_once('=').unwrap();
        out.extend_from_slice(format!("{name}\x01{value}\x02").as_bytes());
    }
    out
}

/// T, F, N for NULL, E for a fault; P if it does not compile.
fn truth(expression: &str, properties: &str) -> char {
    match SqlFilter::parse(expression).map(|filter| filter.truth(&stored(properties))) {
        Ok(Ok(Some(true))) => 'T',
        Ok(Ok(Some(false))) => 'F',
        Ok(Ok(None)) => 'N',
        Ok(Err(Fault)) => 'E',
        Err(_) => 'P',
    }
}

fn check(table: &[(&str, &str, char)]) {
    for (expression, properties, wanted) in table {
        assert_eq!(
            truth(expression, properties),
            *wanted,
            "{expression} of {properties}"
        );
    }
}

#[test]
fn comparison_by_order() {
    check(&[
        ("a > 5", "a=6", 'T'),
        ("a > 5", "a=5", 'F'),
        ("a >= 5", "a=5", 'T'),
        ("a < 5", "a=4", 'T'),
        ("a <= 5", "a=6", 'F'),
        ("5 < a", "a=6", 'T'),
        ("5 > a", "a=6", 'F'),
        ("a > 5", "", 'N'),
        ("5 > a", "", 'N'),
        // Read as the number's type: a fraction is no whole number, and what is no number is a fault.
        ("a > 5", "a=6.0", 'E'),
        ("a > 5", "a=six", 'E'),
        ("a > 5", "a=2147483648", 'E'),
        ("a > 5000000000", "a=6000000000", 'T'),
        ("a > 5L", "a=6", 'T'),
        ("a > 5.5", "a=6", 'T'),
        ("a > 5.5", "a=5.25", 'F'),
        ("a > 3.1E10", "a=3.1415E10", 'T'),
        ("a > .5", "a=0.75", 'T'),
        ("a > 5.", "a=5.5", 'T'),
        // Two properties are read as fractions.
        ("a > b", "a=10 b=9", 'T'),
        ("a > b", "a=10 b=9.5", 'T'),
        ("a > b", "a=ten b=9", 'E'),
        ("a > b", "a=10", 'N'),
        ("a > b", "b=10", 'N'),
        ("a > -5", "a=-4", 'T'),
        ("a > - -5", "a=6", 'T'),
        ("a > +5", "a=6", 'T'),
        ("-a > 5", "a=-6", 'N'),
        ("5 > 4", "", 'T'),
        ("5 > 4.5", "", 'T'),
        ("9000000000 > 5", "", 'T'),
        // Neither conditions nor strings nor NULL have an order.
        ("a > 'x'", "a=1", 'P'),
        ("'x' < a", "a=1", 'P'),
        ("a > TRUE", "a=1", 'P'),
        ("a > NULL", "a=1", 'P'),
        ("(a = 1) > 0", "a=1", 'P'),
        ("a > 1 > 2", "a=1", 'P'),
        ("NOT a > 1", "a=1", 'P'),
    ]);
}

#[test]
fn equality() {
    check(&[
        ("a = 1", "a=1", 'T'),
        ("a = 1", "a=2", 'F'),
        ("a = 1", "a=1.0", 'E'),
        ("a = 1", "a=one", 'E'),
        ("a = 1.0", "a=1", 'T'),
        ("1 = a", "a=1", 'T'),
        ("a = 'x'", "a=x", 'T'),
        ("a = 'x'", "a=X", 'F'),
        ("A = 'x'", "a=x", 'N'),
        ("a = ''", "a=x", 'F'),
        ("a <> 'x'", "a=y", 'T'),
        ("a <> 4", "a=5", 'T'),
        ("a <> 4", "a=4", 'F'),
        ("TAGS = '''''tag'''''", "TAGS=''tag''", 'T'),
        ("a = b", "a=3.14 b=3.14", 'T'),
        ("a = b", "a=3.14 b=3.140", 'F'),
        ("a <> b", "a=3.14 b=3.141", 'T'),
        // NULL on the left and NULL on the right differ.
        ("a = 1", "", 'N'),
        ("1 = a", "", 'F'),
        ("a <> 1", "", 'N'),
        ("1 <> a", "", 'T'),
        ("a = b", "", 'T'),
        ("a = b", "a=1", 'F'),
        ("a = b", "b=1", 'N'),
        ("a = -a", "a=1", 'F'),
        // TRUE and FALSE.
        ("a = TRUE", "a=true", 'T'),
        ("a = true", "a=TRUE", 'T'),
        ("a = FALSE", "a=anything", 'T'),
        ("a = TRUE", "", 'N'),
        ("TRUE = a", "a=true", 'E'),
        ("TRUE = TRUE", "", 'T'),
        ("TRUE = FALSE", "", 'F'),
        ("5 = TRUE", "", 'F'),
        ("TRUE = 5", "", 'P'),
        ("TRUE = 'x'", "", 'P'),
        ("(a > 1) = TRUE", "a=2", 'T'),
        ("(a > 1) = 1", "a=2", 'F'),
        ("(a > 1) = b", "a=2 b=true", 'E'),
        ("b = a > 1", "a=2 b=true", 'T'),
        ("a = 1 = TRUE", "a=1", 'T'),
        ("(a = 1) IS NULL", "", 'T'),
        ("a = NULL", "a=1", 'P'),
        ("NULL = a", "a=1", 'P'),
        ("a <> NULL", "a=1", 'P'),
        ("1 = 1.0", "", 'T'),
        ("1 = 1L", "", 'T'),
        ("'x' = 'x'", "", 'T'),
        ("'1' = 1", "", 'T'),
        ("'x' = 1", "", 'E'),
    ]);
}

#[test]
fn null_and_logic() {
    check(&[
        ("a IS NULL", "", 'T'),
        ("a IS NULL", "a=1", 'F'),
        ("a is not null", "a=1", 'T'),
        ("a IS NOT NULL", "", 'F'),
        ("5 IS NULL", "", 'F'),
        ("NULL IS NULL", "", 'T'),
        ("TRUE", "", 'T'),
        ("FALSE", "", 'F'),
        ("NULL", "", 'N'),
        // A property on its own is text, and not true.
        ("a", "a=true", 'F'),
        ("a", "", 'N'),
        ("NOT a", "a=true", 'T'),
        ("NOT a", "", 'N'),
        ("NOT TRUE", "", 'F'),
        ("NOT NULL", "", 'N'),
        ("NOT NOT TRUE", "", 'T'),
        // NOT binds tighter than any comparison.
        ("NOT a = 1", "a=1", 'F'),
        ("NOT (a = 1)", "a=1", 'F'),
        ("NOT (a = 1)", "a=2", 'T'),
        ("NOT (a = 1)", "", 'N'),
        ("TRUE AND TRUE", "", 'T'),
        ("TRUE AND NULL", "", 'N'),
        ("NULL AND TRUE", "", 'N'),
        ("NULL AND NULL", "", 'N'),
        ("FALSE AND NULL", "", 'F'),
        ("NULL AND FALSE", "", 'F'),
        ("TRUE AND NULL AND FALSE", "", 'F'),
        ("TRUE OR NULL", "", 'T'),
        ("NULL OR TRUE", "", 'T'),
        ("FALSE OR NULL", "", 'N'),
        ("NULL OR FALSE", "", 'N'),
        ("FALSE OR FALSE", "", 'F'),
        ("TRUE OR FALSE AND FALSE", "", 'T'),
        ("(TRUE OR FALSE) AND FALSE", "", 'F'),
        // A fault that lies behind what decides is not met.
        ("FALSE AND a > 1", "a=x", 'F'),
        ("a > 1 AND FALSE", "a=x", 'E'),
        ("NULL AND a > 1", "a=x", 'E'),
        ("TRUE OR a > 1", "a=x", 'T'),
        ("a > 1 OR TRUE", "a=x", 'E'),
        ("a=3 and b<>4 And c>5 AND d<=4", "a=3 b=5 c=6 d=1", 'T'),
        ("a=3 and b<>4 And c>5 AND d<=4", "a=4 b=5 c=6 d=1", 'F'),
        ("a=3 or b<>4 Or c>5 OR d<=4", "a=4 b=4 c=3 d=2", 'T'),
        ("a=3 or b<>4 Or c>5 OR d<=4", "a=4 b=4 c=3 d=10", 'F'),
        ("a is null OR a='hello'", "a=abc", 'F'),
        ("5", "", 'P'),
        ("'x'", "", 'P'),
        ("-a", "a=1", 'P'),
        ("NOT 5", "", 'P'),
        ("a AND 5", "", 'P'),
    ]);
}

#[test]
fn lists_and_ranges() {
    check(&[
        ("a IN ('3', '4', '5')", "a=4", 'T'),
        ("a in ('3')", "a=8", 'F'),
        ("a IN ('3')", "", 'N'),
        ("a NOT IN ('3', '4')", "a=8", 'T'),
        ("a NOT IN ('3', '4')", "a=3", 'F'),
        ("a NOT IN ('3')", "", 'N'),
        ("a IN ('9','8','7','6','5','4','3','2','1','0')", "a=4", 'T'),
        ("a IN ('9','8','7','6','5','4','3','2','1','0')", "a=44", 'F'),
        ("a IN (3)", "a=3", 'P'),
        ("a IN ()", "a=3", 'P'),
        ("'3' IN ('3')", "", 'P'),
        ("(a = 1) IN ('3')", "", 'P'),
        ("a BETWEEN 2 AND 10", "a=2", 'T'),
        ("a BETWEEN 2 AND 10", "a=10", 'T'),
        ("a BETWEEN 2 AND 10", "a=11", 'F'),
        ("a BETWEEN 2 AND 10", "", 'N'),
        ("a BETWEEN 2 AND 10", "a=x", 'E'),
        ("a BETWEEN 2 AND 10.5", "a=3", 'T'),
        // Above the lower bound as a whole number, below the upper one as a fraction.
        ("a BETWEEN 2 AND 10.5", "a=3.5", 'E'),
        ("a NOT BETWEEN 2 AND 10", "a=1", 'T'),
        ("a NOT BETWEEN 2 AND 10", "a=11", 'T'),
        ("a NOT BETWEEN 2 AND 10", "a=3", 'F'),
        ("a NOT BETWEEN 2 AND 10", "", 'N'),
        ("a BETWEEN b AND c", "a=2 b=1 c=3", 'T'),
        ("a BETWEEN b AND c", "a=2 b=1", 'N'),
        ("a BETWEEN b AND c", "a=0 b=1", 'F'),
        ("a NOT BETWEEN b AND c", "a=0 b=1", 'T'),
        ("a BETWEEN up AND low", "a=3.14 up=up low=low", 'E'),
        ("5 BETWEEN 1 AND 10", "", 'T'),
        ("a BETWEEN -5 AND 5", "a=0", 'T'),
        ("a BETWEEN 10 AND 2", "a=3", 'P'),
        ("a NOT BETWEEN 10 AND 2", "a=3", 'T'),
        ("a BETWEEN 'a' AND 'b'", "a=3", 'P'),
        ("a BETWEEN NULL AND 3", "a=3", 'P'),
    ]);
}

#[test]
fn searches() {
    check(&[
        ("a CONTAINS 'ell'", "a=hello", 'T'),
        ("a CONTAINS 'elk'", "a=hello", 'F'),
        ("a NOT CONTAINS 'ell'", "a=hello", 'F'),
        ("a NOT CONTAINS 'elk'", "a=hello", 'T'),
        ("a STARTSWITH 'he'", "a=hello", 'T'),
        ("a startswith 'lo'", "a=hello", 'F'),
        ("a NOT STARTSWITH 'lo'", "a=hello", 'T'),
        ("a ENDSWITH 'lo'", "a=hello", 'T'),
        ("a EndsWith 'he'", "a=hello", 'F'),
        ("a NOT ENDSWITH 'he'", "a=hello", 'T'),
        // Without text on both sides nothing is found, and nothing is not found.
        ("a CONTAINS 'x'", "", 'F'),
        ("a NOT CONTAINS 'x'", "", 'F'),
        ("a CONTAINS ''", "a=x", 'F'),
        ("a NOT ENDSWITH ''", "a=x", 'F'),
        ("5 CONTAINS '5'", "", 'F'),
        ("TRUE NOT STARTSWITH 'x'", "", 'F'),
        ("'hello' CONTAINS 'ell'", "", 'T'),
        ("a CONTAINS b", "a=x b=x", 'P'),
        ("a CONTAINS 5", "a=5", 'P'),
    ]);
}

#[test]
fn spelling() {
    check(&[
        ("  a\t>\r\n5\x0c", "a=6", 'T'),
        ("a > /* five * or // so **/ 5", "a=6", 'T'),
        ("a > -- five\n 5", "a=6", 'T'),
        ("a > 5 -- and so on", "a=6", 'T'),
        ("a>5and b=6", "a=6 b=6", 'T'),
        ("_a$1 = $b", "_a$1=x $b=x", 'T'),
        ("((a)) = ((1))", "a=1", 'T'),
        ("a = 0", "a=0", 'T'),
        ("a = 'un\u{fc}blich'", "a=un\u{fc}blich", 'T'),
        ("a = 9223372036854775807", "a=9223372036854775807", 'T'),
        ("a = 9223372036854775808", "", 'P'),
        ("a > 0.0", "a=1", 'P'),
        ("a > 1E999", "a=1", 'P'),
        ("a = 007", "a=7", 'P'),
        ("a > 0x10", "a=17", 'P'),
        ("a > 5x", "a=6", 'P'),
        ("a > 1.5.5", "a=6", 'P'),
        ("", "", 'P'),
        ("-- nothing", "", 'P'),
        ("a = 'x", "a=x", 'P'),
        ("a = /* x", "a=x", 'P'),
        ("a != 1", "a=2", 'P'),
        ("a == 1", "a=1", 'P'),
        ("a = 1;", "a=1", 'P'),
        ("a = \"x\"", "a=x", 'P'),
        ("a = 1 b = 2", "a=1", 'P'),
        ("a LIKE 'x%'", "a=x", 'P'),
        ("a + 1 > 2", "a=2", 'P'),
        ("(a = 1", "a=1", 'P'),
        ("a = 1)", "a=1", 'P'),
        ("a and between 2 and 10", "a=3", 'P'),
        ("a NOT 5", "a=3", 'P'),
        ("a NOT NULL", "a=3", 'P'),
        ("a IS 5", "a=3", 'P'),
        ("and = 1", "and=1", 'P'),
    ]);
}

#[test]
fn stored_properties() {
    let filter = SqlFilter::parse("a = 'x'").unwrap();
    for (properties, wanted) in [
        (&b"a\x01x"[..], true),
        (b"a\x01x\x02", true),
        (b"b\x01a\x02a\x01x\x02c\x01y\x02", true),
        // The later one counts, but for one without a value, which is none.
        (b"a\x01x\x02a\x01y\x02", false),
        (b"a\x01y\x02a\x01x\x02", true),
        (b"a\x01x\x02a\x01\x02", true),
        (b"a\x01x\x02a\x02\x02\x01\x02", true),
        // What stands behind a second separator belongs to the value.
        (b"a\x01x\x01x\x02", false),
        (b"b\x01a\x01x\x02", false),
        (b"aa\x01x\x02", false),
        (b"", false),
        (b"\x01\x01\x02\x02\x01", false),
    ] {
        assert_eq!(filter.matches(properties), wanted, "{properties:?}");
    }
    let many: Vec<String> = (0..PROPERTIES_MAX).map(|at| format!("p{at} = '{at}'")).collect();
    let all = SqlFilter::parse(&many.join(" AND ")).unwrap();
    let properties: Vec<String> = (0..PROPERTIES_MAX).map(|at| format!("p{at}={at}")).collect();
    assert!(all.matches(&stored(&properties.join(" "))));
    assert!(!all.matches(&stored(&properties[1..].join(" "))));
}

#[test]
fn a_refusal_says_why_and_where() {
    for (expression, message) in [
        (
            "a > ",
            "found the end where a property, a string, a number or a parenthesis should be, at character 5",
        ),
        (
            "a != 1",
            "'!' is not part of the language; not equal is <>, at character 3",
        ),
        ("\u{e9}", "'\u{e9}' is not part of the language, at character 1"),
        (
            "a = '\u{e9}\u{e9}' b",
            "found b behind the end of the expression; conditions are joined by AND or OR, at character 10",
        ),
        (
            "a = NULL",
            "NULL equals nothing; write IS NULL or IS NOT NULL, at character 5",
        ),
        (
            "a = 1 AND b = 'x",
            "the string that begins here has no closing quote, at character 15",
        ),
        (
            "a BETWEEN 10 AND 1",
            "the lower bound of BETWEEN is above the upper one, at character 11",
        ),
        (
            "a = 99999999999999999999",
            "the number 99999999999999999999 is beyond 9223372036854775807, at character 5",
        ),
        (
            "a IN 'x'",
            "found 'x' where a list of strings in parentheses should be, at character 6",
        ),
    ] {
        assert_eq!(
            SqlFilter::parse(expression).unwrap_err().to_string(),
            message,
            "{expression}"
        );
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let reason = |expression: &str| SqlFilter::parse(expression).map_err(|error| error.reason);
    let nested = |depth: usize| format!("{}TRUE{}", "(".repeat(depth), ")".repeat(depth));
    assert!(reason(&nested(TEXT_DEPTH_MAX)).is_ok());
    for deep in [
        nested(TEXT_DEPTH_MAX + 1),
        nested(10_000),
        "NOT ".repeat(10_000),
        format!("{}a = 1", "- ".repeat(10_000)),
    ] {
        assert_eq!(reason(&deep), Err(SqlReason::TooDeep { max: TEXT_DEPTH_MAX }));
    }
    for deep in [
        format!("a{}", " = a".repeat(10_000)),
        format!("a{}", " IS NULL".repeat(5_000)),
        format!("a{}", " CONTAINS 'x'".repeat(5_000)),
        format!("{}a{}", "(b = ".repeat(DEPTH_MAX), ") <> c".repeat(DEPTH_MAX)),
        format!("{}a", "NOT ".repeat(DEPTH_MAX + 1)),
    ] {
        assert_eq!(reason(&deep), Err(SqlReason::TooDeep { max: DEPTH_MAX }));
    }
    // Wide is not deep.
    let wide = "a = 1 OR ".repeat(5_000) + "b = 2";
    assert_eq!(truth(&wide, "a=0 b=2"), 'T');
    assert!(matches!(
        reason(&"a = 1 OR ".repeat(10_000)),
        Err(SqlReason::TooLong { .. })
    ));
    let many: Vec<String> = (0..=PROPERTIES_MAX).map(|at| format!("p{at}")).collect();
    assert_eq!(
        reason(&many.join(" AND ")),
        Err(SqlReason::TooManyProperties { max: PROPERTIES_MAX })
    );
}

/// Texts of values: constants, properties and negatives of them.
fn value() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        (0..20_i64).prop_map(|number| number.to_string()),
        any::<u32>().prop_map(|number| (i64::from(number) * 3).to_string()),
        (1..1_000_u32).prop_map(|number| format!("{:?}", f64::from(number) / 8.0)),
        "[abcd]",
        Just("1E300".to_owned()),
    ];
    (plain, 0..6).prop_map(|(text, sign)| match sign {
        0 => format!("-{text}"),
        1 => format!("- +-({text})"),
        _ => text,
    })
}

fn string() -> impl Strategy<Value = String> {
    "[a-c0-3' \u{e9}]{0,4}".prop_map(|text: String| format!("'{}'", text.replace('\'', "''")))
}

/// Texts of conditions, each of which compiles.
fn condition() -> impl Strategy<Value = String> {
    let order = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">=")];
    let search = prop_oneof![Just("CONTAINS"), Just("STARTSWITH"), Just("EndsWith")];
    let not = || prop_oneof![Just(""), Just("NOT ")];
    let leaf = prop_oneof![
        (value(), order, value()).prop_map(|(left, order, right)| format!("{left} {order} {right}")),
        (value(), value()).prop_map(|(left, right)| format!("{left} = {right}")),
        ("[abcd]", string()).prop_map(|(name, text)| format!("{name} <> {text}")),
        ("[abcd]", not(), prop::collection::vec(string(), 1..12))
            .prop_map(|(name, not, texts)| format!("{name} {not}IN ({})", texts.join(","))),
        ("[abcd]", not(), search, string())
            .prop_map(|(name, not, search, text)| format!("{name} {not}{search} {text}")),
        (value(), not(), "[abcd]", value())
            .prop_map(|(value, not, low, high)| format!("{value} {not}BETWEEN {low} AND {high}")),
        (value(), not()).prop_map(|(value, not)| format!("{value} IS {not}NULL")),
        prop_oneof![
            Just("TRUE".to_owned()),
            Just("false".to_owned()),
            Just("NULL".to_owned())
        ],
        "[abcd]",
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let joined = |word: &'static str| {
            prop::collection::vec(inner.clone(), 2..4).prop_map(move |parts| {
                let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
                parts.join(word)
            })
        };
        prop_oneof![
            joined(" AND "),
            joined(" or "),
            inner.clone().prop_map(|inner| format!("NOT ({inner})")),
            inner.clone().prop_map(|inner| format!("({inner}) IS NOT NULL")),
            (inner.clone(), value()).prop_map(|(inner, value)| format!("({inner} OR b) = - {value}")),
            (value(), inner.clone()).prop_map(|(value, inner)| format!("{value} = ({inner} OR b)")),
            inner.prop_map(|inner| format!("TRUE = ({inner} OR a = 1)")),
        ]
    })
}

fn property_string() -> impl Strategy<Value = Vec<u8>> {
    let pair = (
        "[abcd]",
        prop_oneof!["[0-3]", "-?[0-9]{1,3}(\\.[0-9]{1,2})?", "true", "[a-c ']{0,4}"],
    );
    prop::collection::vec(pair, 0..6).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(name, value)| format!("{name}\x01{value}\x02"));
        pairs.collect::<String>().into_bytes()
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_what_was_read(expression in condition(), properties in property_string()) {
        let filter = SqlFilter::parse(&expression).unwrap();
        let printed = filter.to_string();
        let again = SqlFilter::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        prop_assert_eq!(&filter, &again, "{}", printed);
        let truth = filter.truth(&properties);
        prop_assert_eq!(truth, again.truth(&properties));
        // The laws that three values keep.
        let law = |text: String| SqlFilter::parse(&text).unwrap().truth(&properties);
        prop_assert_eq!(law(format!("NOT ({printed})")), truth.map(|truth| truth.map(|truth| !truth)));
        prop_assert_eq!(law(format!("({printed}) AND TRUE")), truth);
        prop_assert_eq!(law(format!("({printed}) OR FALSE")), truth);
        prop_assert_eq!(law(format!("NOT NOT ({printed})")), truth);
    }

    #[test]
    fn nothing_panics(expression in "[-a-c0-9'()<>=,.+ /*ELNOTANDRISU]{0,60}", properties: Vec<u8>) {
        if let Ok(filter) = SqlFilter::parse(&expression) {
            filter.matches(&properties);
            prop_assert_eq!(&SqlFilter::parse(&filter.to_string()).unwrap(), &filter);
        }
    }

    #[test]
    fn no_text_panics(expression: String, properties: Vec<u8>) {
        if let Ok(filter) = SqlFilter::parse(&expression) {
            filter.matches(&properties);
        }
    }
}

#[test]
fn the_deepest_tree_is_printed_so_that_it_is_read() {
    // Of all operators <> makes the most of a text: two nodes, and three openings when it is printed.
    let chain = |length: usize| format!("a{}", " <> a".repeat(length));
    let deepest = (1..)
        .map(chain)
        .map_while(|text| SqlFilter::parse(&text).ok())
        .last();
    let deepest = deepest.expect("there is one");
    let printed = deepest.to_string();
    assert_eq!(
        printed.matches('(').count() + printed.matches("NOT").count(),
        3 * DEPTH_MAX / 2 - 4
    );
    assert_eq!(SqlFilter::parse(&printed), Ok(deepest));
}
