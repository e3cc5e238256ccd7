//! The header as a JSON object, keys sorted and nulls left out as fastjson does.

use bytes::BytesMut;

use super::{Header, HeaderError, json_plain};
use crate::json::KeyStyle;
use crate::json::{JsonErrorKind, JsonLimits, Kind, Reader, Writer};
use crate::limits::{MAX_EXT_FIELDS, MAX_EXT_KEY_BYTES, MAX_JSON_DEPTH};
use crate::remoting::fields::ExtFields;
use crate::remoting::language::Language;
use crate::text::lossy;

/// Values in one header: its own members, the extension fields, and some slack for members that we do not know.
const MAX_VALUES: u32 = 4 * MAX_EXT_FIELDS as u32;
const LIMITS: JsonLimits = JsonLimits {
    max_depth: MAX_JSON_DEPTH,
    max_values: MAX_VALUES,
    max_containers: MAX_VALUES,
};

/// Reads into `header`, which has no remark and no fields.
pub(super) fn decode(header: &mut Header, bytes: &[u8]) -> Result<(), HeaderError> {
    let text = lossy(bytes);
    if json_plain::decode(header, &text).is_some() {
        return Ok(());
    }
    header.clear_read();
    decode_any(header, &text)
}

/// The same for headers that people or unusual programs wrote.
pub(super) fn decode_any(header: &mut Header, text: &str) -> Result<(), HeaderError> {
    let mut reader = Reader::new(text, LIMITS);
    let mut problem = None;
    reader.members(|reader| {
        match &*reader.key()? {
            "code" => header.code = int(reader)?,
            "version" => header.version = int(reader)?,
            "opaque" => header.opaque = int(reader)?,
            "flag" => header.flag = int(reader)?,
            "language" if reader.peek()? == Kind::String => {
                header.language = Language::from_name(&reader.string()?);
            }
            "remark" => {
                header.remark = if reader.null()? {
                    None
                } else {
                    Some(reader.scalar_text()?.into_owned().into())
                };
            }
            "extFields" if reader.peek()? == Kind::Object => {
                header.fields.clear();
                ext_fields(reader, &mut header.fields, &mut problem)?;
            }
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.finish()?;
    match problem {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

fn int(reader: &mut Reader<'_>) -> Result<i32, crate::json::JsonError> {
    if reader.null()? {
        return Ok(0);
    }
    let value = reader.integer()?;
    i32::try_from(value).map_err(|_| reader.error(JsonErrorKind::NumberOutOfRange))
}

/// Reads the extension fields; what breaks a limit of ours, and not of JSON, is left in `problem`.
fn ext_fields(
    reader: &mut Reader<'_>,
    fields: &mut ExtFields,
    problem: &mut Option<HeaderError>,
) -> Result<(), crate::json::JsonError> {
    reader.members(|reader| {
        let key = reader.key()?;
        if !admits(fields, &key, problem) {
            return reader.skip();
        }
        match reader.peek()? {
            Kind::String => fields.push_with(&key, |text| reader.string_into(text)),
            Kind::Null => reader.null().map(|_| ()),
            _ => {
                fields.push(&key, &reader.scalar_text()?);
                Ok(())
            }
        }
    })
}

/// Whether there is room for one more field of this name.
fn admits(fields: &ExtFields, key: &str, problem: &mut Option<HeaderError>) -> bool {
    if fields.len() >= MAX_EXT_FIELDS {
        *problem = Some(HeaderError::TooManyFields {
            limit: MAX_EXT_FIELDS,
        });
        return false;
    }
    if key.len() > MAX_EXT_KEY_BYTES {
        *problem = Some(HeaderError::KeyTooLong { key_bytes: key.len() });
        return false;
    }
    true
}

pub(super) fn encode(header: &Header, out: &mut BytesMut) {
    out.reserve(160 + header.fields.text_bytes() * 2);
    let mut writer = Writer::new(out, KeyStyle::Fastjson);
    writer.raw("{\"code\":");
    writer.integer(header.code.into());
    if !header.fields.is_empty() {
        writer.raw(",\"extFields\":");
        writer.open_object();
        for (key, value) in header.fields.iter() {
            writer.key(key);
            writer.string(value);
            writer.comma();
        }
        writer.close_object();
    }
    writer.raw(",\"flag\":");
    writer.integer(header.flag.into());
    writer.raw(",\"language\":");
    writer.string(header.language.name());
    writer.raw(",\"opaque\":");
    writer.integer(header.opaque.into());
    if let Some(remark) = &header.remark {
        writer.raw(",\"remark\":");
        writer.string(remark);
    }
    writer.raw(",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    writer.integer(header.version.into());
    writer.raw("}");
}
