//! From tokens to a tree, one function for each level of the grammar:
//!
//! ```text
//! or         := and (OR and)*
//! and        := equality (AND equality)*
//! equality   := comparison ("=" comparison | "<>" comparison | IS [NOT] NULL)*
//! comparison := unary ( (">" | ">=" | "<" | "<=") unary
//!                     | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) string
//!                     | [NOT] BETWEEN unary AND unary
//!                     | [NOT] IN "(" string ("," string)* ")" )*
//! unary      := "+" unary | "-" unary | NOT unary | primary
//! primary    := string | number | TRUE | FALSE | NULL | name | "(" or ")"
//! ```
//!
//! One thing is not as upstream has it, which reads an expression until it makes sense no more and drops the rest unread:
//! here what follows an expression is an error.

use hashbrown::HashMap;

use super::error::{SqlError, SqlReason};
use super::evaluate::compare;
use super::expression::{Condition, Number, Operand, Order, Place, Slot};
use super::lexer::{Keyword, Kind, Lexer, Token};

/// A longer expression is refused.
const SIZE_BYTES_MAX: usize = 64 << 10;
/// A tree that is nested deeper is refused: it is walked recursively.
pub(super) const DEPTH_MAX: usize = 64;
/// A text that is nested deeper is refused, for the same reason. Any tree within its bound is printed within this one: each
/// node opens at most a NOT and a parenthesis.
pub(super) const TEXT_DEPTH_MAX: usize = 2 * DEPTH_MAX;
/// An expression that speaks of more properties is refused: their values are found on the stack.
pub(super) const PROPERTIES_MAX: usize = 64;

/// A part of the tree.
struct Part {
    operand: Operand,
    /// Nodes on the longest way down.
    height: usize,
    /// Where its text begins.
    at: usize,
}

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    names: HashMap<&'a str, Slot>,
    /// Unary operators and parentheses that are open.
    depth: usize,
}

impl<'a> Parser<'a> {
    /// The condition that is written in `expression`, and the properties that it speaks of.
    pub(super) fn parse(expression: &'a str) -> Result<(Condition, Vec<Box<str>>), SqlError> {
        let mut lexer = Lexer::new(expression);
        if expression.len() > SIZE_BYTES_MAX {
            let reason = SqlReason::TooLong {
                size_bytes: expression.len(),
                max_bytes: SIZE_BYTES_MAX,
            };
            return Err(lexer.error(0, reason));
        }
        let token = lexer.token()?;
        let mut parser = Self {
            lexer,
            token,
            names: HashMap::new(),
            depth: 0,
        };
        let whole = parser.or()?;
        if parser.token.kind != Kind::End {
            let found = parser.found();
            return Err(parser.error_here(SqlReason::Trailing { found }));
        }
        let condition = parser.condition(whole)?;
        let mut names: Vec<Box<str>> = vec![Box::default(); parser.names.len()];
        for (name, slot) in parser.names {
            if let Some(place) = names.get_mut(slot.0) {
                *place = name.into();
            }
        }
        Ok((condition, names))
    }

    fn or(&mut self) -> Result<Part, SqlError> {
        self.list(Self::and, Keyword::Or, Condition::Any)
    }

    fn and(&mut self) -> Result<Part, SqlError> {
        self.list(Self::equality, Keyword::And, Condition::All)
    }

    fn list(
        &mut self,
        item: impl Fn(&mut Self) -> Result<Part, SqlError>,
        between: Keyword,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Part, SqlError> {
        let first = item(self)?;
        if self.token.kind != Kind::Keyword(between) {
            return Ok(first);
        }
        let (at, mut height) = (first.at, first.height);
        let mut parts = vec![self.condition(first)?];
        while self.takes(Kind::Keyword(between))? {
            let next = item(self)?;
            height = height.max(next.height);
            parts.push(self.condition(next)?);
        }
        self.node(at, height, join(parts))
    }

    fn equality(&mut self) -> Result<Part, SqlError> {
        let mut left = self.comparison()?;
        loop {
            let (at, height) = (left.at, left.height);
            left = if self.takes(Kind::Equal)? {
                let (equal, height) = self.equal(left)?;
                self.node(at, height, equal)?
            } else if self.takes(Kind::NotEqual)? {
                let (equal, height) = self.equal(left)?;
                self.node(at, height + 1, Condition::Not(Box::new(equal)))?
            } else if self.takes(Kind::Keyword(Keyword::Is))? {
                let negated = self.takes(Kind::Keyword(Keyword::Not))?;
                self.expects(Kind::Keyword(Keyword::Null), "NULL or NOT NULL")?;
                let is_null = Condition::IsNull(left.operand);
                if negated {
                    self.node(at, height + 1, Condition::Not(Box::new(is_null)))?
                } else {
                    self.node(at, height, is_null)?
                }
            } else {
                return Ok(left);
            };
        }
    }

    /// `left = ...`, and the height of its higher side.
    fn equal(&mut self, left: Part) -> Result<(Condition, usize), SqlError> {
        let right = self.comparison()?;
        for side in [&left, &right] {
            if side.operand.is_null_constant() {
                return Err(self.lexer.error(side.at, SqlReason::NullCompared));
            }
        }
        let is_condition = |part: &Part| matches!(part.operand, Operand::Condition(_));
        if left.operand.is_constant()
            && right.operand.is_constant()
            && is_condition(&left)
            && !is_condition(&right)
        {
            return Err(self.lexer.error(right.at, SqlReason::BooleanCompared));
        }
        let height = left.height.max(right.height);
        Ok((Condition::Equal(left.operand, right.operand), height))
    }

    fn comparison(&mut self) -> Result<Part, SqlError> {
        let mut left = self.unary()?;
        loop {
            let order = match self.token.kind {
                Kind::Less => Some(Order::Less),
                Kind::LessEqual => Some(Order::LessEqual),
                Kind::Greater => Some(Order::Greater),
                Kind::GreaterEqual => Some(Order::GreaterEqual),
                _ => None,
            };
            if let Some(order) = order {
                self.advance()?;
                let right = self.unary()?;
                self.expects_order(&left)?;
                self.expects_order(&right)?;
                let height = left.height.max(right.height);
                let condition = Condition::Order(left.operand, order, right.operand);
                left = self.node(left.at, height, condition)?;
                continue;
            }
            let negated = self.takes(Kind::Keyword(Keyword::Not))?;
            let Kind::Keyword(keyword) = self.token.kind else {
                if negated {
                    return Err(self.unexpected("IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH"));
                }
                return Ok(left);
            };
            left = match keyword {
                Keyword::Between => self.between(left, negated)?,
                Keyword::In => self.in_list(left, negated)?,
                Keyword::Contains => self.search(left, Place::Anywhere, negated)?,
                Keyword::StartsWith => self.search(left, Place::Start, negated)?,
                Keyword::EndsWith => self.search(left, Place::End, negated)?,
                _ if negated => {
                    return Err(self.unexpected("IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH"));
                }
                _ => return Ok(left),
            };
        }
    }

    fn between(&mut self, value: Part, negated: bool) -> Result<Part, SqlError> {
        self.advance()?;
        let low = self.unary()?;
        self.expects(Kind::Keyword(Keyword::And), "AND and the upper bound")?;
        let high = self.unary()?;
        for part in [&value, &low, &high] {
            self.expects_order(part)?;
        }
        // NOT BETWEEN is satisfied outside of any bounds, so that these need no order there.
        if let (Operand::Number(from), Operand::Number(to), false) = (&low.operand, &high.operand, negated)
            && compare(*from, *to).is_gt()
        {
            return Err(self.lexer.error(low.at, SqlReason::BoundsReversed));
        }
        let height = value.height.max(low.height).max(high.height);
        let between = Condition::Between {
            value: value.operand,
            low: low.operand,
            high: high.operand,
            negated,
        };
        self.node(value.at, height, between)
    }

    fn in_list(&mut self, left: Part, negated: bool) -> Result<Part, SqlError> {
        let Operand::Property(property) = left.operand else {
            return Err(self.lexer.error(left.at, SqlReason::InWithoutProperty));
        };
        self.advance()?;
        self.expects(Kind::Open, "a list of strings in parentheses")?;
        let mut texts = vec![self.string()?];
        while self.takes(Kind::Comma)? {
            texts.push(self.string()?);
        }
        self.expects(Kind::Close, "a comma or the end of the list")?;
        texts.sort_unstable();
        texts.dedup();
        let condition = Condition::In {
            property,
            texts: texts.into(),
            negated,
        };
        self.node(left.at, left.height, condition)
    }

    fn search(&mut self, value: Part, place: Place, negated: bool) -> Result<Part, SqlError> {
        self.advance()?;
        let text = self.string()?;
        let condition = Condition::Search {
            value: value.operand,
            place,
            text,
            negated,
        };
        self.node(value.at, value.height, condition)
    }

    fn unary(&mut self) -> Result<Part, SqlError> {
        let Token { kind, at, .. } = self.token;
        match kind {
            Kind::Plus | Kind::Minus | Kind::Keyword(Keyword::Not) => {}
            _ => return self.primary(),
        }
        self.descend()?;
        self.advance()?;
        let inner = self.unary()?;
        self.depth -= 1;
        match kind {
            Kind::Plus => Ok(Part { at, ..inner }),
            Kind::Minus => {
                let height = self.height(at, inner.height)?;
                let operand = Operand::Negated(Box::new(inner.operand));
                Ok(Part { operand, height, at })
            }
            _ => {
                let height = inner.height;
                let condition = self.condition(inner)?;
                self.node(at, height, Condition::Not(Box::new(condition)))
            }
        }
    }

    fn primary(&mut self) -> Result<Part, SqlError> {
        let Token { kind, text, at } = self.token;
        let constant = |value| Operand::Condition(Box::new(Condition::Constant(value)));
        let operand = match kind {
            Kind::String => Operand::Text(self.string()?),
            Kind::Open => {
                self.descend()?;
                self.advance()?;
                let inner = self.or()?;
                self.depth -= 1;
                self.expects(Kind::Close, "a closing parenthesis")?;
                return Ok(inner);
            }
            Kind::Integer => self.integer(text)?,
            Kind::Float => self.float(text)?,
            Kind::Name => Operand::Property(self.slot(text)?),
            Kind::Keyword(Keyword::True) => constant(Some(true)),
            Kind::Keyword(Keyword::False) => constant(Some(false)),
            Kind::Keyword(Keyword::Null) => constant(None),
            _ => return Err(self.unexpected("a property, a string, a number or a parenthesis")),
        };
        if kind != Kind::String {
            self.advance()?;
        }
        Ok(Part {
            operand,
            height: 1,
            at,
        })
    }

    fn integer(&self, text: &str) -> Result<Operand, SqlError> {
        let digits = text.strip_suffix(['l', 'L']).unwrap_or(text);
        let Ok(number) = digits.parse::<i64>() else {
            let found = shortened(text);
            return Err(self.error_here(SqlReason::IntegerRange { found }));
        };
        // What fits into 32 bits is of 32 bits, whatever its suffix says.
        Ok(Operand::Number(
            i32::try_from(number).map_or(Number::Long(number), Number::Int),
        ))
    }

    fn float(&self, text: &str) -> Result<Operand, SqlError> {
        match text.parse::<f64>() {
            Ok(number) if number > 0.0 && number.is_finite() => Ok(Operand::Number(Number::Double(number))),
            _ => {
                let found = shortened(text);
                Err(self.error_here(SqlReason::FloatRange { found }))
            }
        }
    }

    fn slot(&mut self, name: &'a str) -> Result<Slot, SqlError> {
        let next = Slot(self.names.len());
        if let Some(slot) = self.names.get(name) {
            return Ok(*slot);
        }
        if next.0 == PROPERTIES_MAX {
            return Err(self.error_here(SqlReason::TooManyProperties { max: PROPERTIES_MAX }));
        }
        self.names.insert(name, next);
        Ok(next)
    }

    /// Takes a string; two quotes in it are one.
    fn string(&mut self) -> Result<Box<str>, SqlError> {
        let text = self.token.text;
        self.expects(Kind::String, "a string in single quotes")?;
        let inside = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''))
            .unwrap_or(text);
        Ok(inside.replace("''", "'").into())
    }

    /// What has a truth, as a condition.
    fn condition(&self, part: Part) -> Result<Condition, SqlError> {
        match part.operand {
            Operand::Condition(condition) => Ok(*condition),
            Operand::Property(slot) => Ok(Condition::Property(slot)),
            Operand::Number(_) | Operand::Text(_) | Operand::Negated(_) => {
                Err(self.lexer.error(part.at, SqlReason::NotACondition))
            }
        }
    }

    /// A condition above parts of this height.
    fn node(&self, at: usize, height: usize, condition: Condition) -> Result<Part, SqlError> {
        Ok(Part {
            operand: Operand::Condition(Box::new(condition)),
            height: self.height(at, height)?,
            at,
        })
    }

    fn height(&self, at: usize, below: usize) -> Result<usize, SqlError> {
        if below < DEPTH_MAX {
            Ok(below + 1)
        } else {
            Err(self.lexer.error(at, SqlReason::TooDeep { max: DEPTH_MAX }))
        }
    }

    fn descend(&mut self) -> Result<(), SqlError> {
        if self.depth == TEXT_DEPTH_MAX {
            return Err(self.error_here(SqlReason::TooDeep { max: TEXT_DEPTH_MAX }));
        }
        self.depth += 1;
        Ok(())
    }

    fn expects_order(&self, part: &Part) -> Result<(), SqlError> {
        if part.operand.has_order() {
            Ok(())
        } else {
            Err(self.lexer.error(part.at, SqlReason::NoOrder))
        }
    }

    fn advance(&mut self) -> Result<(), SqlError> {
        self.token = self.lexer.token()?;
        Ok(())
    }

    /// Takes a token if it is this one; whether it was.
    fn takes(&mut self, kind: Kind) -> Result<bool, SqlError> {
        let is_this = self.token.kind == kind;
        if is_this {
            self.advance()?;
        }
        Ok(is_this)
    }

    fn expects(&mut self, kind: Kind, wanted: &'static str) -> Result<(), SqlError> {
        if self.takes(kind)? {
            Ok(())
        } else {
            Err(self.unexpected(wanted))
        }
    }

    fn found(&self) -> String {
        match self.token.kind {
            Kind::End => "the end".to_owned(),
            _ => shortened(self.token.text),
        }
    }

    fn unexpected(&self, wanted: &'static str) -> SqlError {
        let found = self.found();
        self.error_here(SqlReason::Unexpected { found, wanted })
    }

    fn error_here(&self, reason: SqlReason) -> SqlError {
        self.lexer.error(self.token.at, reason)
    }
}

/// A token for an error message, which is not the place for a long one.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}
