//! Declares a JSON object once: its members, their names, and what stands in for an absent one.

/// Makes a struct with `decode`, `encode`, [`crate::json::FromJson`], [`crate::json::ToJson`] and `Default`. Members
/// are written in the order given here, which should be that of their names; one of type `Option` is left out when
/// it is `None`.
macro_rules! json_object {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty => $member:literal $(or $default:expr)?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: json_object!(@default $($default)?),)* }
            }
        }

        impl $name {
            /// Reads a body.
            ///
            /// # Errors
            /// The JSON is malformed, beyond a limit, or has a member of another type.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::json::JsonError> {
                $crate::json::from_slice(bytes)
            }

            /// Writes a body in the shape Java's side reads and writes.
            pub fn encode(&self) -> Vec<u8> {
                $crate::json::to_vec(self, $crate::json::KeyStyle::Fastjson)
            }
        }

        impl $crate::json::FromJson for $name {
            fn from_json(reader: &mut $crate::json::Reader<'_>) -> Result<Self, $crate::json::JsonError> {
                let mut object = Self::default();
                if reader.null()? {
                    return Ok(object);
                }
                reader.members(|reader| {
                    match &*reader.key()? {
                        $($member => object.$field = $crate::json::FromJson::from_json(reader)?,)*
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?;
                Ok(object)
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self, writer: &mut $crate::json::Writer<'_>) {
                writer.open_object();
                $(if !$crate::json::ToJson::is_absent(&self.$field) {
                    writer.key($member);
                    $crate::json::ToJson::to_json(&self.$field, writer);
                    writer.comma();
                })*
                writer.close_object();
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
}

/// Makes an enumeration whose values travel as names. An unknown name is read as the default, the first one.
macro_rules! json_names {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $(#[$first_doc:meta])* $first:ident = $first_text:literal,
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_text,
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl $crate::json::FromJson for $name {
            fn from_json(reader: &mut $crate::json::Reader<'_>) -> Result<Self, $crate::json::JsonError> {
                if reader.null()? {
                    return Ok(Self::default());
                }
                Ok(match &*reader.scalar_text()? {
                    $($text => Self::$variant,)*
                    _ => Self::default(),
                })
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self, writer: &mut $crate::json::Writer<'_>) {
                writer.string(self.name());
            }
        }
    };
}

pub(super) use {json_names, json_object};
