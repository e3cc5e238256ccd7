//! The tree that an expression becomes. Conditions and values are apart, as the language has them apart: what has no truth
//! is never asked for it.

use std::cmp::Ordering;
use std::fmt;

/// A property, by its place in the filter's list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) usize);

/// A number, in the type that decides what a property is read as when the two are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Written whole, within 32 bits.
    Int(i32),
    /// Written whole, beyond 32 bits.
    Long(i64),
    /// Written with a point or an exponent.
    Double(f64),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Number(Number),
    Text(Box<str>),
    Property(Slot),
    /// The negative of a number; NULL of anything else.
    Negated(Box<Self>),
    Condition(Box<Condition>),
}

/// What is true, false, or NULL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// TRUE, FALSE or NULL.
    Constant(Option<bool>),
    /// A property on its own. Properties are text, which is not true: FALSE, or NULL without the property.
    Property(Slot),
    Not(Box<Self>),
    /// AND, of as many as there are.
    All(Vec<Self>),
    /// OR, of as many as there are.
    Any(Vec<Self>),
    Equal(Operand, Operand),
    IsNull(Operand),
    Order(Operand, Order, Operand),
    Between {
        value: Operand,
        low: Operand,
        high: Operand,
        negated: bool,
    },
    In {
        property: Slot,
        /// In order, each once.
        texts: Box<[Box<str>]>,
        negated: bool,
    },
    Search {
        value: Operand,
        place: Place,
        text: Box<str>,
        negated: bool,
    },
}

/// A comparison by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Where a string is looked for in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

impl Operand {
    /// Whether it is written as a constant: checks that upstream makes of constants are made of these alone.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Number(_) | Self::Text(_) => true,
            Self::Condition(condition) => matches!(**condition, Condition::Constant(_)),
            Self::Property(_) | Self::Negated(_) => false,
        }
    }

    pub(super) fn is_null_constant(&self) -> bool {
        matches!(self, Self::Condition(condition) if **condition == Condition::Constant(None))
    }

    /// Whether it can stand on a side of `<`: a number, a property, or the negative of something.
    pub(super) const fn has_order(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Property(_) | Self::Negated(_))
    }
}

impl Order {
    pub(super) const fn holds(self, found: Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::LessEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterEqual => found.is_ge(),
        }
    }

    const fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }
}

impl Place {
    const fn keyword(self) -> &'static str {
        match self {
            Self::Anywhere => "CONTAINS",
            Self::Start => "STARTSWITH",
            Self::End => "ENDSWITH",
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Long(number) => write!(f, "{number}"),
            // With a point or an exponent, always.
            Self::Double(number) => write!(f, "{number:?}"),
        }
    }
}

/// Writes a tree so that it is read as the same tree.
pub(super) struct Printed<'a, T> {
    pub(super) names: &'a [Box<str>],
    pub(super) tree: &'a T,
}

impl<'a, T> Printed<'a, T> {
    const fn of<U>(&self, tree: &'a U) -> Printed<'a, U> {
        Printed {
            names: self.names,
            tree,
        }
    }

    fn name(&self, slot: Slot) -> &'a str {
        self.names.get(slot.0).map_or("?", |name| name)
    }
}

const fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl fmt::Display for Printed<'_, Operand> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tree {
            Operand::Number(number) => write!(f, "{number}"),
            Operand::Text(text) => f.write_str(&quoted(text)),
            Operand::Property(slot) => f.write_str(self.name(*slot)),
            // Two minus signs in a row would begin a comment.
            Operand::Negated(value) => write!(f, "- {}", self.of(&**value)),
            Operand::Condition(condition) => match **condition {
                Condition::Constant(_) => write!(f, "{}", self.of(&**condition)),
                _ => write!(f, "({})", self.of(&**condition)),
            },
        }
    }
}

impl Printed<'_, Condition> {
    /// As a part of a larger condition.
    fn part(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tree {
            Condition::Constant(_) | Condition::Property(_) | Condition::Not(_) => write!(f, "{self}"),
            _ => write!(f, "({self})"),
        }
    }

    fn list(&self, parts: &[Condition], between: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                f.write_str(between)?;
            }
            self.of(part).part(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Printed<'_, Condition> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tree {
            Condition::Constant(None) => f.write_str("NULL"),
            Condition::Constant(Some(true)) => f.write_str("TRUE"),
            Condition::Constant(Some(false)) => f.write_str("FALSE"),
            Condition::Property(slot) => f.write_str(self.name(*slot)),
            Condition::Not(condition) => {
                f.write_str("NOT ")?;
                self.of(&**condition).part(f)
            }
            Condition::All(parts) => self.list(parts, " AND ", f),
            Condition::Any(parts) => self.list(parts, " OR ", f),
            Condition::Equal(left, right) => write!(f, "{} = {}", self.of(left), self.of(right)),
            Condition::IsNull(value) => write!(f, "{} IS NULL", self.of(value)),
            Condition::Order(left, order, right) => {
                write!(f, "{} {} {}", self.of(left), order.symbol(), self.of(right))
            }
            Condition::Between {
                value,
                low,
                high,
                negated,
            } => {
                let (value, low, high) = (self.of(value), self.of(low), self.of(high));
                write!(f, "{value} {}BETWEEN {low} AND {high}", not(*negated))
            }
            Condition::In {
                property,
                texts,
                negated,
            } => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                let name = self.name(*property);
                write!(f, "{name} {}IN ({})", not(*negated), texts.join(", "))
            }
            Condition::Search {
                value,
                place,
                text,
                negated,
            } => {
                let (value, keyword) = (self.of(value), place.keyword());
                write!(f, "{value} {}{keyword} {}", not(*negated), quoted(text))
            }
        }
    }
}
