//! What a client is written in.

use std::fmt;

macro_rules! languages {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// The implementation language that a header names. Informational, but for connection lists.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Language {
            $($(#[$doc])* $variant,)*
        }

        impl Language {
            /// The code of the binary header.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// The name of the JSON header.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// By code; an unknown one is [`Language::Other`].
            pub const fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::Other,
                }
            }

            /// By name; an unknown one is [`Language::Other`].
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

languages! {
    /// Java
    Java = 0, "JAVA";
    /// C++
    Cpp = 1, "CPP";
    /// .NET
    Dotnet = 2, "DOTNET";
    /// Python
    Python = 3, "PYTHON";
    /// Delphi
    Delphi = 4, "DELPHI";
    /// Erlang
    Erlang = 5, "ERLANG";
    /// Ruby
    Ruby = 6, "RUBY";
    /// Anything without a code of its own
    Other = 7, "OTHER";
    /// HTTP
    Http = 8, "HTTP";
    /// Go
    Go = 9, "GO";
    /// PHP
    Php = 10, "PHP";
    /// OpenMessaging
    Oms = 11, "OMS";
    /// Rust
    Rust = 12, "RUST";
    /// Node.js
    NodeJs = 13, "NODE_JS";
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
