//! The header in upstream's binary form, all integers big-endian:
//!
//! ```text
//! code i16 | language u8 | version i16 | opaque i32 | flag i32
//! remark length i32 | remark
//! fields length i32 | { key length i16 | key | value length i32 | value } ...
//! ```
//!
//! There is no telling an absent text from an empty one: an empty remark is read as none, an empty value stays a
//! field with empty text, and a field without a name is dropped.

use bytes::{BufMut, BytesMut};

use super::{EncodeError, FLAG_RESPONSE, Header, HeaderError};
use crate::limits::{MAX_EXT_FIELDS, MAX_EXT_KEY_BYTES};
use crate::remoting::code::RequestCode;
use crate::remoting::fields::ExtFields;
use crate::remoting::language::Language;
use crate::text::lossy;

/// What is left of a header, or of a block in it.
struct Input<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(HeaderError::Truncated { part: self.part })?;
        self.rest = rest;
        Ok(*array)
    }

    fn i32(&mut self) -> Result<i32, HeaderError> {
        self.array().map(i32::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16, HeaderError> {
        self.array().map(i16::from_be_bytes)
    }

    fn bytes(&mut self, length: i32) -> Result<&'a [u8], HeaderError> {
        let available = self.rest.len();
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let (bytes, rest) = bytes.ok_or_else(|| HeaderError::BadLength {
            part: self.part,
            length: length.into(),
            available,
        })?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// Reads into `header`, which has no remark and no fields.
pub(super) fn decode(header: &mut Header, bytes: &[u8]) -> Result<(), HeaderError> {
    let mut input = Input {
        rest: bytes,
        part: "fixed part",
    };
    let code = input.i16()?;
    let [language] = input.array()?;
    let version = input.i16()?;
    let opaque = input.i32()?;
    let flag = input.i32()?;
    let remark_len = input.i32()?;
    input.part = "remark";
    let remark = lossy(input.bytes(remark_len)?);
    input.part = "extension fields";
    let fields_len = input.i32()?;
    ext_fields(input.bytes(fields_len)?, &mut header.fields)?;
    if !input.rest.is_empty() {
        return Err(HeaderError::TrailingBytes(input.rest.len()));
    }
    header.code = if flag & FLAG_RESPONSE == 0 {
        RequestCode::from_short(code).value()
    } else {
        i32::from(code)
    };
    header.language = Language::from_code(language);
    header.version = version.into();
    header.opaque = opaque;
    header.flag = flag;
    if !remark.is_empty() {
        header.remark = Some(remark.into_owned().into());
    }
    Ok(())
}

fn ext_fields(block: &[u8], fields: &mut ExtFields) -> Result<(), HeaderError> {
    let mut input = Input {
        rest: block,
        part: "extension fields",
    };
    while !input.rest.is_empty() {
        let key_len = input.i16()?;
        let key = input.bytes(key_len.into())?;
        let value_len = input.i32()?;
        let value = input.bytes(value_len)?;
        if key.is_empty() {
            continue;
        }
        if key.len() > MAX_EXT_KEY_BYTES {
            return Err(HeaderError::KeyTooLong { key_bytes: key.len() });
        }
        if fields.len() >= MAX_EXT_FIELDS {
            return Err(HeaderError::TooManyFields {
                limit: MAX_EXT_FIELDS,
            });
        }
        fields.push(&lossy(key), &lossy(value));
    }
    Ok(())
}

/// Codes above sixteen bits are cut, as upstream does and [`RequestCode::from_short`] undoes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the wire has sixteen bits for code and version"
)]
pub(super) fn encode(header: &Header, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_i16(header.code as i16);
    out.put_u8(header.language.code());
    out.put_i16(header.version as i16);
    out.put_i32(header.opaque);
    out.put_i32(header.flag);
    let remark = header.remark.as_deref().unwrap_or_default();
    put_text(out, remark)?;
    let at = out.len();
    out.put_i32(0);
    for (key, value) in header.fields.iter() {
        let key_len =
            i16::try_from(key.len()).map_err(|_| EncodeError::KeyTooLong { key_bytes: key.len() })?;
        out.put_i16(key_len);
        out.put_slice(key.as_bytes());
        put_text(out, value)?;
    }
    let block = length(out.len() - at - 4)?;
    out[at..at + 4].copy_from_slice(&block.to_be_bytes());
    Ok(())
}

fn put_text(out: &mut BytesMut, text: &str) -> Result<(), EncodeError> {
    out.put_i32(length(text.len())?);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn length(bytes: usize) -> Result<i32, EncodeError> {
    i32::try_from(bytes).map_err(|_| EncodeError::HeaderTooLong { header_bytes: bytes })
}
