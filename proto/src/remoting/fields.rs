//! Extension fields: the part of a header that differs by request, as text, and typed access to it.

use std::fmt;

use thiserror::Error;

use super::command::Command;

/// What most answers fit in.
const ORDINARY_TEXT_BYTES: usize = 128;
const ORDINARY_FIELDS: usize = 8;
/// Memory for text that is kept for the next header.
const KEPT_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Named text values in the order they were received or added.
///
/// One buffer holds all text, so that decoding a header allocates twice, however many fields it has. A name may
/// repeat; the last one counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExtFields {
    text: String,
    spans: Vec<Span>,
}

/// A name at `start` with its value right behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    key_len: u32,
    value_len: u32,
}

impl ExtFields {
    /// No fields.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            spans: Vec::new(),
        }
    }

    /// No fields yet, room for this many bytes of text.
    pub fn with_capacity(text_bytes: usize) -> Self {
        Self {
            text: String::with_capacity(text_bytes),
            spans: Vec::with_capacity(16),
        }
    }

    /// Takes every field out and keeps the memory, unless that is more than ordinary headers need.
    pub fn clear(&mut self) {
        if self.text.capacity() > KEPT_TEXT_BYTES_MAX {
            self.text = String::new();
        }
        self.text.clear();
        self.spans.clear();
    }

    /// Makes room for the fields of an ordinary header, in two steps instead of many.
    pub(crate) fn make_room(&mut self) {
        self.text.reserve(ORDINARY_TEXT_BYTES);
        self.spans.reserve(ORDINARY_FIELDS);
    }

    /// Adds a field behind the others.
    pub fn push(&mut self, key: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(key);
        self.text.push_str(value);
        self.push_span(start, key.len());
    }

    /// Adds a field whose value is written by `value`, which must only append.
    ///
    /// # Errors
    /// Those of `value`; no field has been added then.
    pub fn push_with<E>(
        &mut self,
        key: &str,
        value: impl FnOnce(&mut String) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.text.len();
        self.text.push_str(key);
        if let Err(error) = value(&mut self.text) {
            self.text.truncate(start);
            return Err(error);
        }
        self.push_span(start, key.len());
        Ok(())
    }

    /// Adds a field that is a number.
    pub fn push_integer(&mut self, key: &str, value: i64) {
        self.push(key, itoa::Buffer::new().format(value));
    }

    fn push_span(&mut self, start: usize, key_len: usize) {
        let value_len = self.text.len() - start - key_len;
        // Decoders stop at the header limit, three orders of magnitude below what these fields hold.
        let narrow = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        self.spans.push(Span {
            start: narrow(start),
            key_len: narrow(key_len),
            value_len: narrow(value_len),
        });
    }

    /// The value under this name.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Every field in order, repeated names included.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + ExactSizeIterator {
        self.spans.iter().map(|span| {
            let start = span.start as usize;
            let middle = start + span.key_len as usize;
            let end = middle + span.value_len as usize;
            (&self.text[start..middle], &self.text[middle..end])
        })
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of text in all fields together.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'t> FromIterator<(&'t str, &'t str)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (&'t str, &'t str)>>(fields: I) -> Self {
        let mut all = Self::new();
        for (key, value) in fields {
            all.push(key, value);
        }
        all
    }
}

/// A field that a request needs and that is not there, or is not what it has to be. Upstream answers such requests
/// with SYSTEM_ERROR.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The field is required.
    #[error("the header field {name} is missing")]
    Missing {
        /// Which field.
        name: &'static str,
    },
    /// The text of the field is not of its type.
    #[error("the header field {name} is {value:?}, which is not {wanted}")]
    Invalid {
        /// Which field.
        name: &'static str,
        /// Its text, cut to a readable length.
        value: String,
        /// What it should have been.
        wanted: &'static str,
    },
}

impl FieldError {
    /// A field whose text is not of its type.
    pub fn invalid(name: &'static str, value: &str, wanted: &'static str) -> Self {
        Self::Invalid {
            name,
            value: value.chars().take(64).collect(),
            wanted,
        }
    }
}

/// A typed header: the extension fields of one kind of request or response.
pub trait HeaderFields<'a>: Sized {
    /// Reads the fields it knows and passes over the others.
    ///
    /// # Errors
    /// A required field is missing, or a number is none.
    fn from_fields(fields: &'a ExtFields) -> Result<Self, FieldError>;

    /// Adds its fields.
    fn write_fields(&self, fields: &mut ExtFields);

    /// Reads the extension fields of a command.
    ///
    /// # Errors
    /// As [`HeaderFields::from_fields`].
    fn decode(command: &'a Command) -> Result<Self, FieldError> {
        Self::from_fields(&command.header.fields)
    }
}

/// A type that a field can have.
pub trait FieldValue<'a>: Sized {
    /// From the field's text, or from its absence.
    ///
    /// # Errors
    /// It may not be absent, or the text is not of this type.
    fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, FieldError>;

    /// Adds the field, unless it is absent.
    fn write(&self, name: &'static str, fields: &mut ExtFields);
}

/// A type that text can be turned into, for [`FieldValue`].
trait Scalar<'a>: Sized {
    const WANTED: &'static str;
    /// Whether no text at all is as good as no field. The binary header cannot tell the two apart, and Java reads
    /// both as null.
    const EMPTY_IS_ABSENT: bool = false;
    fn parse(text: &'a str) -> Option<Self>;
    fn write(&self, name: &'static str, fields: &mut ExtFields);
}

impl<'a> Scalar<'a> for &'a str {
    const WANTED: &'static str = "text";

    fn parse(text: &'a str) -> Option<Self> {
        Some(text)
    }

    fn write(&self, name: &'static str, fields: &mut ExtFields) {
        fields.push(name, self);
    }
}

impl Scalar<'_> for bool {
    const WANTED: &'static str = "a boolean";

    /// Java's rule: anything but "true" is false.
    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn write(&self, name: &'static str, fields: &mut ExtFields) {
        fields.push(name, if *self { "true" } else { "false" });
    }
}

macro_rules! number_scalars {
    ($($number:ty, $wanted:literal;)*) => {$(
        impl Scalar<'_> for $number {
            const WANTED: &'static str = $wanted;
            const EMPTY_IS_ABSENT: bool = true;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn write(&self, name: &'static str, fields: &mut ExtFields) {
                fields.push_integer(name, i64::from(*self));
            }
        }
    )*};
}

number_scalars! {
    i32, "a 32 bit integer";
    i64, "a 64 bit integer";
}

fn present<'a, T: Scalar<'a>>(value: Option<&'a str>) -> Option<&'a str> {
    value.filter(|text| !(T::EMPTY_IS_ABSENT && text.is_empty()))
}

macro_rules! field_values {
    ($($scalar:ty),*) => {$(
        impl<'a> FieldValue<'a> for $scalar {
            fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, FieldError> {
                let text = present::<Self>(value).ok_or(FieldError::Missing { name })?;
                <Self as Scalar<'a>>::parse(text)
                    .ok_or_else(|| FieldError::invalid(name, text, <Self as Scalar<'a>>::WANTED))
            }

            fn write(&self, name: &'static str, fields: &mut ExtFields) {
                Scalar::write(self, name, fields);
            }
        }

        impl<'a> FieldValue<'a> for Option<$scalar> {
            fn read(name: &'static str, value: Option<&'a str>) -> Result<Self, FieldError> {
                present::<$scalar>(value)
                    .map(|text| <$scalar as FieldValue<'a>>::read(name, Some(text)))
                    .transpose()
            }

            fn write(&self, name: &'static str, fields: &mut ExtFields) {
                if let Some(value) = self {
                    Scalar::write(value, name, fields);
                }
            }
        }
    )*};
}

field_values!(&'a str, bool, i32, i64);

/// Declares a typed header once: its fields, their names on the wire, and what stands in for an absent one.
///
/// A field of type `Option` may be absent; one with `= default` after its name takes the default; any other is
/// required.
macro_rules! header_fields {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $($(#[$field_doc:meta])* $field:ident: $type:ty => $wire:literal $(or $default:expr)?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name $(<$life>)? {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        header_fields!(@impl $name $(<$life>)? { $($field: $type => $wire $(or $default)?,)* });
    };
    (@impl $name:ident { $($body:tt)* }) => {
        header_fields!(@body 'a, $name, { $($body)* });
    };
    (@impl $name:ident <$life:lifetime> { $($body:tt)* }) => {
        header_fields!(@body $life, $name<$life>, { $($body)* });
    };
    (@body $life:lifetime, $self:ty, { $($field:ident: $type:ty => $wire:literal $(or $default:expr)?,)* }) => {
        impl<$life> $crate::remoting::fields::HeaderFields<$life> for $self {
            fn from_fields(
                fields: &$life $crate::remoting::fields::ExtFields,
            ) -> Result<Self, $crate::remoting::fields::FieldError> {
                $(let mut $field: Option<&$life str> = None;)*
                for (name, value) in fields.iter() {
                    match name {
                        $($wire => $field = Some(value),)*
                        _ => {}
                    }
                }
                Ok(Self {
                    $($field: header_fields!(@read $wire, $field, $type $(, $default)?),)*
                })
            }

            fn write_fields(&self, fields: &mut $crate::remoting::fields::ExtFields) {
                $($crate::remoting::fields::FieldValue::write(&self.$field, $wire, fields);)*
            }
        }
    };
    (@read $wire:literal, $field:ident, $type:ty) => {
        <$type as $crate::remoting::fields::FieldValue<'_>>::read($wire, $field)?
    };
    (@read $wire:literal, $field:ident, $type:ty, $default:expr) => {
        <Option<$type> as $crate::remoting::fields::FieldValue<'_>>::read($wire, $field)?.unwrap_or($default)
    };
}

pub(crate) use header_fields;

#[cfg(test)]
mod tests {
    #![expect(unreachable_pub, reason = "tests")]

    use super::*;

    header_fields! {
        /// All kinds of field.
        pub struct Sample<'a> {
            /// Required text.
            name: &'a str => "n",
            /// Optional text.
            note: Option<&'a str> => "o",
            /// Required number.
            id: i32 => "i",
            /// Defaulted number.
            at: i64 => "t" or -1,
            /// Defaulted boolean.
            on: bool => "b" or true,
        }
    }

    #[test]
    fn absent_and_present() {
        let fields = ExtFields::from_iter([("x", "?"), ("n", "a"), ("i", "5"), ("n", "b")]);
        let sample = Sample::from_fields(&fields).unwrap();
        assert_eq!(
            sample,
            Sample {
                name: "b",
                note: None,
                id: 5,
                at: -1,
                on: true
            }
        );
        let mut written = ExtFields::new();
        sample.write_fields(&mut written);
        assert_eq!(Sample::from_fields(&written).unwrap(), sample);
        assert_eq!(written.get("t"), Some("-1"));
        assert_eq!(written.get("o"), None);
    }

    #[test]
    fn errors_name_the_field() {
        let fields = ExtFields::from_iter([("n", "a"), ("i", "5x")]);
        let error = Sample::from_fields(&fields).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the header field i is \"5x\", which is not a 32 bit integer"
        );
        let fields = ExtFields::from_iter([("i", "5")]);
        assert_eq!(
            Sample::from_fields(&fields).unwrap_err(),
            FieldError::Missing { name: "n" }
        );
        let long = "9".repeat(1000);
        let fields = ExtFields::from_iter([("n", "a"), ("i", long.as_str())]);
        assert!(Sample::from_fields(&fields).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn an_empty_number_is_no_number() {
        let fields = ExtFields::from_iter([("n", ""), ("o", ""), ("i", ""), ("t", "")]);
        assert_eq!(
            Sample::from_fields(&fields).unwrap_err(),
            FieldError::Missing { name: "i" }
        );
        let fields = ExtFields::from_iter([("n", ""), ("o", ""), ("i", "0"), ("t", "")]);
        let sample = Sample::from_fields(&fields).unwrap();
        assert_eq!(
            sample,
            Sample {
                name: "",
                note: Some(""),
                id: 0,
                at: -1,
                on: true
            }
        );
    }

    #[test]
    fn booleans_as_java_reads_them() {
        for (text, want) in [
            ("true", true),
            ("TRUE", true),
            ("1", false),
            ("", false),
            ("yes", false),
        ] {
            assert_eq!(<bool as FieldValue<'_>>::read("b", Some(text)), Ok(want));
        }
    }
}
