//! Checks of the broker's filters.

use kourou_broker::filter::SqlFilter;

/// A filter and the properties that it is tried on, apart by the first `;`.
pub fn sql(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b';').unwrap_or(data.len());
    let (expression, properties) = data.split_at(at);
    let Ok(expression) = str::from_utf8(expression) else {
        return;
    };
    match SqlFilter::parse(expression) {
        Ok(filter) => compiled(&filter, properties.get(1..).unwrap_or_default()),
        Err(error) => {
            let characters = expression.chars().count();
            assert!((1..=characters + 1).contains(&error.position), "{error}");
            assert!(error.to_string().len() < 400);
        }
    }
}

/// A filter that was read is written so that it reads the same, and decides the same.
fn compiled(filter: &SqlFilter, properties: &[u8]) {
    let printed = filter.to_string();
    match SqlFilter::parse(&printed) {
        Ok(again) => {
            assert_eq!(&again, filter);
            assert_eq!(again.matches(properties), filter.matches(properties));
        }
        // Written out it may be too long to be read.
        Err(error) => assert!(printed.len() > 64 << 10, "{printed}: {error}"),
    }
}
