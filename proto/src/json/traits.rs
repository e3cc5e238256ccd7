//! How types take part in JSON.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;

use crate::text::lossy;

use super::{JsonError, JsonErrorKind, JsonLimits, KeyStyle, Reader, Writer};

/// A type that can be read. `null` gives the default, as Java's reader leaves a field alone.
pub trait FromJson: Sized {
    /// Reads one value.
    ///
    /// # Errors
    /// The value is malformed or of another type.
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError>;
}

/// A type that can be written.
pub trait ToJson {
    /// Appends this value.
    fn to_json(&self, writer: &mut Writer<'_>);

    /// Whether an object leaves this member out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// A type that can be a key of a map.
pub trait JsonKey: Ord + Sized {
    /// Reads a key and its colon.
    ///
    /// # Errors
    /// The key is malformed or of another type.
    fn read_key(reader: &mut Reader<'_>) -> Result<Self, JsonError>;

    /// Appends a key and its colon.
    fn write_key(&self, writer: &mut Writer<'_>);
}

/// Reads a whole document. Bytes that are not UTF-8 are replaced by U+FFFD, as Java does.
///
/// # Errors
/// The document is malformed, not of this type, or beyond a limit.
pub fn from_slice<T: FromJson>(bytes: &[u8]) -> Result<T, JsonError> {
    let text = lossy(bytes);
    let mut reader = Reader::new(&text, JsonLimits::default());
    let value = T::from_json(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// Writes a whole document.
pub fn to_vec<T: ToJson + ?Sized>(value: &T, style: KeyStyle) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(256);
    value.to_json(&mut Writer::new(&mut out, style));
    // Nobody else has a part of it, so this moves it.
    out.into()
}

impl FromJson for String {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        if reader.null()? {
            return Ok(Self::new());
        }
        reader.scalar_text().map(Cow::into_owned)
    }
}

impl ToJson for String {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
}

impl ToJson for str {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
}

impl FromJson for bool {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        if reader.null()? {
            Ok(false)
        } else {
            reader.boolean()
        }
    }
}

impl ToJson for bool {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.raw(if *self { "true" } else { "false" });
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl FromJson for $integer {
            fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
                if reader.null()? {
                    return Ok(0);
                }
                let value = reader.integer()?;
                Self::try_from(value).map_err(|_| reader.error(JsonErrorKind::NumberOutOfRange))
            }
        }

        impl ToJson for $integer {
            fn to_json(&self, writer: &mut Writer<'_>) {
                writer.integer(i64::from(*self));
            }
        }

        impl JsonKey for $integer {
            fn read_key(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
                let key = reader.key()?;
                key.parse().map_err(|_| reader.error(JsonErrorKind::WrongType("an integer key")))
            }

            fn write_key(&self, writer: &mut Writer<'_>) {
                writer.integer_key(i64::from(*self));
            }
        }
    )*};
}

integers!(i32, i64);

impl FromJson for f64 {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        if reader.null()? { Ok(0.0) } else { reader.float() }
    }
}

impl ToJson for f64 {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.float(*self);
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        if reader.null()? {
            Ok(None)
        } else {
            T::from_json(reader).map(Some)
        }
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn to_json(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.to_json(writer),
            None => writer.raw("null"),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut items = Self::new();
        if reader.null()? {
            return Ok(items);
        }
        reader.elements(|reader| {
            items.push(T::from_json(reader)?);
            Ok(())
        })?;
        Ok(items)
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn to_json(&self, writer: &mut Writer<'_>) {
        write_array(self.iter(), writer);
    }
}

impl<T: FromJson + Ord> FromJson for BTreeSet<T> {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut items = Self::new();
        if reader.null()? {
            return Ok(items);
        }
        reader.elements(|reader| {
            items.insert(T::from_json(reader)?);
            Ok(())
        })?;
        Ok(items)
    }
}

impl<T: ToJson> ToJson for BTreeSet<T> {
    fn to_json(&self, writer: &mut Writer<'_>) {
        write_array(self.iter(), writer);
    }
}

fn write_array<'t, T: ToJson + 't>(items: impl Iterator<Item = &'t T>, writer: &mut Writer<'_>) {
    writer.open_array();
    for item in items {
        item.to_json(writer);
        writer.comma();
    }
    writer.close_array();
}

impl JsonKey for String {
    fn read_key(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        reader.key().map(Cow::into_owned)
    }

    fn write_key(&self, writer: &mut Writer<'_>) {
        writer.key(self);
    }
}

impl<K: JsonKey, V: FromJson> FromJson for BTreeMap<K, V> {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut map = Self::new();
        if reader.null()? {
            return Ok(map);
        }
        reader.members(|reader| {
            let key = K::read_key(reader)?;
            let value = V::from_json(reader)?;
            map.insert(key, value);
            Ok(())
        })?;
        Ok(map)
    }
}

impl<K: JsonKey, V: ToJson> ToJson for BTreeMap<K, V> {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.open_object();
        for (key, value) in self {
            key.write_key(writer);
            value.to_json(writer);
            writer.comma();
        }
        writer.close_object();
    }
}
