//! JSON that is passed on as it came.

use crate::json::{FromJson, JsonError, Reader, ToJson, Writer};

/// A JSON value that nobody here looks into; known to be well formed, by fastjson's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawJson(String);

impl RawJson {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A value of ours. Private: the text goes out as it is.
    pub(super) fn trusted(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// An empty object.
impl Default for RawJson {
    fn default() -> Self {
        Self::trusted("{}")
    }
}

impl FromJson for RawJson {
    fn from_json(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        reader.source_text().map(|text| Self(text.to_owned()))
    }
}

impl ToJson for RawJson {
    fn to_json(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.0);
    }
}
