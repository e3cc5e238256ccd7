//! The truth of a condition over the values of properties: true, false, NULL, or a fault, which no message survives.
//!
//! Nothing here allocates. Evaluation goes from left to right and stops when the rest cannot matter, which decides whether a
//! fault that lies further right is met.

use std::cmp::Ordering;

use memchr::memmem;

use super::expression::{Condition, Number, Operand, Place, Slot};
use super::number;

/// A property that should be a number and is not, or TRUE and FALSE on the wrong side of a comparison with text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault;

/// True, false, or NULL.
pub(super) type Truth = Option<bool>;

/// In longer lists a text is found by bisection.
const LINEAR_MAX: usize = 8;

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(&'a [u8]),
}

/// The values of the properties that an expression speaks of, by slot. Stored properties have no empty values: an empty one
/// is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a, 'v>(pub(super) &'v [&'a [u8]]);

impl<'a> Values<'a, '_> {
    fn get(self, slot: Slot) -> Option<&'a [u8]> {
        self.0.get(slot.0).copied().filter(|value| !value.is_empty())
    }
}

impl Condition {
    pub(super) fn evaluate(&self, values: Values<'_, '_>) -> Result<Truth, Fault> {
        match self {
            Self::Constant(truth) => Ok(*truth),
            Self::Property(slot) => Ok(values.get(*slot).map(|_| false)),
            Self::Not(condition) => Ok(condition.evaluate(values)?.map(|truth| !truth)),
            Self::All(conditions) => fold(conditions, false, values),
            Self::Any(conditions) => fold(conditions, true, values),
            Self::Equal(left, right) => equal(left.evaluate(values)?, right.evaluate(values)?),
            Self::IsNull(value) => Ok(Some(matches!(value.evaluate(values)?, Value::Null))),
            Self::Order(left, order, right) => {
                let left = left.evaluate(values)?;
                Ok(in_order(left, right, values)?.map(|found| order.holds(found)))
            }
            Self::Between {
                value,
                low,
                high,
                negated,
            } => {
                let value = value.evaluate(values)?;
                // value >= low AND value <= high, or value < low OR value > high.
                let above = in_order(value, low, values)?.map(|found| found.is_ge() != *negated);
                if above == Some(*negated) {
                    return Ok(above);
                }
                let below = in_order(value, high, values)?.map(|found| found.is_le() != *negated);
                Ok(join(above, below, *negated))
            }
            Self::In {
                property,
                texts,
                negated,
            } => Ok(values
                .get(*property)
                .map(|value| is_among(texts, value) != *negated)),
            Self::Search {
                value,
                place,
                text,
                negated,
            } => {
                // Whatever is not text is neither found in nor without anything: false for both forms.
                let Value::Text(value) = value.evaluate(values)? else {
                    return Ok(Some(false));
                };
                Ok(Some(
                    !text.is_empty() && is_found(value, *place, text.as_bytes()) != *negated,
                ))
            }
        }
    }
}

/// OR if `decisive` is true, AND if it is false.
fn fold(conditions: &[Condition], decisive: bool, values: Values<'_, '_>) -> Result<Truth, Fault> {
    let mut truth = Some(!decisive);
    for condition in conditions {
        truth = join(truth, condition.evaluate(values)?, decisive);
        if truth == Some(decisive) {
            break;
        }
    }
    Ok(truth)
}

const fn join(left: Truth, right: Truth, decisive: bool) -> Truth {
    match (left, right) {
        (Some(left), Some(right)) => {
            if left == decisive || right == decisive {
                Some(decisive)
            } else {
                Some(!decisive)
            }
        }
        (Some(one), None) | (None, Some(one)) if one == decisive => Some(decisive),
        _ => None,
    }
}

impl Operand {
    fn evaluate<'a>(&'a self, values: Values<'a, '_>) -> Result<Value<'a>, Fault> {
        Ok(match self {
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text.as_bytes()),
            Self::Property(slot) => values.get(*slot).map_or(Value::Null, Value::Text),
            Self::Negated(value) => match value.evaluate(values)? {
                Value::Number(number) => Value::Number(negated(number)),
                Value::Null | Value::Bool(_) | Value::Text(_) => Value::Null,
            },
            Self::Condition(condition) => condition.evaluate(values)?.map_or(Value::Null, Value::Bool),
        })
    }
}

const fn negated(number: Number) -> Number {
    match number {
        Number::Int(number) => Number::Int(number.wrapping_neg()),
        Number::Long(number) => Number::Long(number.wrapping_neg()),
        Number::Double(number) => Number::Double(-number),
    }
}

/// The sides of `=` are not alike: NULL on the left alone is NULL, on the right alone it is false.
fn equal(left: Value<'_>, right: Value<'_>) -> Result<Truth, Fault> {
    let same = match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) => return Ok(None),
        (_, Value::Null) => false,
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => compare(left, right).is_eq(),
        (Value::Text(text), Value::Number(number)) | (Value::Number(number), Value::Text(text)) => {
            compare(number::like(number, text).ok_or(Fault)?, number).is_eq()
        }
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Text(text), Value::Bool(truth)) => text.eq_ignore_ascii_case(b"true") == truth,
        (Value::Bool(_), Value::Text(_)) => return Err(Fault),
        (Value::Bool(_), Value::Number(_)) | (Value::Number(_), Value::Bool(_)) => false,
    };
    Ok(Some(same))
}

/// How `left` stands to `right`; nothing if one of them is NULL. The right one is not looked at if the left one is.
fn in_order(left: Value<'_>, right: &Operand, values: Values<'_, '_>) -> Result<Option<Ordering>, Fault> {
    if matches!(left, Value::Null) {
        return Ok(None);
    }
    let ordering = match (left, right.evaluate(values)?) {
        (_, Value::Null) => return Ok(None),
        (Value::Number(left), Value::Number(right)) => compare(left, right),
        (Value::Number(left), Value::Text(right)) => compare(left, number::like(left, right).ok_or(Fault)?),
        (Value::Text(left), Value::Number(right)) => compare(number::like(right, left).ok_or(Fault)?, right),
        (Value::Text(left), Value::Text(right)) => {
            let (left, right) = (number::double(left), number::double(right));
            left.ok_or(Fault)?.total_cmp(&right.ok_or(Fault)?)
        }
        // The parser lets no condition stand on a side of these.
        (Value::Null | Value::Bool(_), _) | (_, Value::Bool(_)) => return Err(Fault),
    };
    Ok(Some(ordering))
}

/// Compares two numbers in the wider of their types. As in Java, -0.0 is below 0.0, and what is not a number above all.
pub(super) fn compare(left: Number, right: Number) -> Ordering {
    let whole = |number| match number {
        Number::Int(number) => Some(i64::from(number)),
        Number::Long(number) => Some(number),
        Number::Double(_) => None,
    };
    let double = |number| match number {
        Number::Int(number) => f64::from(number),
        // As Java widens it: to the nearest.
        Number::Long(number) => number as f64,
        Number::Double(number) => number,
    };
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => double(left).total_cmp(&double(right)),
    }
}

fn is_among(texts: &[Box<str>], value: &[u8]) -> bool {
    if texts.len() <= LINEAR_MAX {
        texts.iter().any(|text| text.as_bytes() == value)
    } else {
        texts.binary_search_by(|text| text.as_bytes().cmp(value)).is_ok()
    }
}

fn is_found(value: &[u8], place: Place, text: &[u8]) -> bool {
    match place {
        Place::Anywhere => memmem::find(value, text).is_some(),
        Place::Start => value.starts_with(text),
        Place::End => value.ends_with(text),
    }
}
