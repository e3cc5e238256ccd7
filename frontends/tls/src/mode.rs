//! Which connections a port takes.

use std::fmt;
use std::str::FromStr;

/// Which connections a port takes. The names are those of RocketMQ's `tls.server.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Plain ones.
    Disabled,
    /// Both, told apart by their first byte.
    #[default]
    Permissive,
    /// Those that speak TLS.
    Enforcing,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Permissive => "permissive",
            Self::Enforcing => "enforcing",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Disabled, Self::Permissive, Self::Enforcing]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or(())
    }
}
