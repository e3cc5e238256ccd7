//! The first thing that a port says on a connection: what it is.

use quinn::Connection;
use serde::{Deserialize, Serialize};

/// What a port says of itself, as JSON, on the first stream that it opens; the stream ends behind it. Fields that are not known are
/// skipped, so that later versions can say more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hello {
    /// What routes call the broker behind this port, `host:port`; empty without a broker.
    pub broker: String,
}

/// The longest that a client reads.
pub(crate) const HELLO_SIZE_BYTES_MAX: usize = 4_096;

impl Hello {
    /// Says it on a connection that was just made.
    pub(crate) async fn say(&self, connection: &Connection) -> Result<(), quinn::WriteError> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut stream = connection.open_uni().await?;
        stream.write_all(&text).await?;
        // Fails if it was ended already, which it was not.
        let _ = stream.finish();
        Ok(())
    }

    /// Hears it on a connection that was just made. `None` if something else is said.
    pub(crate) async fn hear(connection: &Connection) -> Option<Self> {
        let mut stream = connection.accept_uni().await.ok()?;
        let text = stream.read_to_end(HELLO_SIZE_BYTES_MAX).await.ok()?;
        serde_json::from_slice(&text).ok()
    }
}
