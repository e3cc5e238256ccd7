//! One connection that speaks gRPC, and one call on it.

use std::io;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Method, Request, Uri, Version};
use tokio::net::TcpStream;

use super::request::PREFIX_BYTES;
use crate::error::BenchError;

/// The longest answer that is read; those of a run have a hundred bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection. Calls on it run side by side; whoever makes one waits for its answer.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    sender: SendRequest<Bytes>,
    address: String,
    client_id: String,
    index: usize,
}

/// What a call came to.
#[derive(Debug)]
pub(super) enum Answered {
    /// A message.
    Message(Bytes),
    /// None; the call ended with this status of gRPC's.
    Status(i32, String),
}

impl Channel {
    /// Connects; `index` is the connection's number in errors. Must be called inside of a `LocalSet`.
    pub(super) async fn connect(address: &str, client_id: String, index: usize) -> Result<Self, BenchError> {
        let failed = |source| BenchError::ConnectGrpc {
            address: address.to_owned(),
            source,
        };
        let tcp = TcpStream::connect(address).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let (sender, connection) = Builder::new()
            .handshake(tcp)
            .await
            .map_err(|error| failed(io::Error::other(error)))?;
        // Its end, good or bad, is the end of the calls on it.
        tokio::task::spawn_local(connection);
        Ok(Self {
            sender,
            address: address.to_owned(),
            client_id,
            index,
        })
    }

    /// Calls a method of `MessagingService` with a message in its frame.
    pub(super) async fn call(&mut self, method: &str, message: Bytes) -> Result<Answered, BenchError> {
        let index = self.index;
        let broken = move |error: h2::Error| BenchError::Connection {
            connection: index,
            source: io::Error::other(error),
        };
        self.sender = self.sender.clone().ready().await.map_err(broken)?;
        let (response, mut stream) = self
            .sender
            .send_request(self.head(method)?, false)
            .map_err(broken)?;
        stream.send_data(message, true).map_err(broken)?;
        let response = response.await.map_err(broken)?;
        if let Some(status) = status(response.headers()) {
            // A call that fails at once has its end in its head.
            return Ok(status);
        }
        let (mut answer, mut body) = (BytesMut::new(), response.into_body());
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(broken)?;
            // Nothing to be done about a connection that is gone by now.
            let _ = body.flow_control().release_capacity(chunk.len());
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(bad_answer(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
            }
            answer.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
        match status(&trailers) {
            Some(Answered::Status(0, _)) if answer.len() >= PREFIX_BYTES => {
                Ok(Answered::Message(answer.freeze().slice(PREFIX_BYTES..)))
            }
            Some(Answered::Status(0, _)) => Err(bad_answer("there is no message in it".to_owned())),
            Some(status) => Ok(status),
            None => Err(bad_answer("it ends without grpc-status".to_owned())),
        }
    }

    fn head(&self, method: &str) -> Result<Request<()>, BenchError> {
        let uri = format!(
            "http://{}/apache.rocketmq.v2.MessagingService/{method}",
            self.address
        );
        let bad = |problem: String| BenchError::Settings(format!("{}: {problem}", self.address));
        let uri: Uri = uri.parse().map_err(|error| bad(format!("{error}")))?;
        Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-mq-client-id", &self.client_id)
            .header("x-mq-language", "JAVA")
            .header("x-mq-client-version", "5.0.0")
            .header("x-mq-protocol", "v2")
            .body(())
            .map_err(|error| bad(format!("{error}")))
    }
}

fn bad_answer(problem: String) -> BenchError {
    BenchError::BadAnswer {
        what: "send by gRPC",
        problem,
    }
}

/// The end of a call, if these headers tell it.
fn status(headers: &HeaderMap) -> Option<Answered> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let text = headers
        .get("grpc-message")
        .and_then(|text| text.to_str().ok())
        .unwrap_or_default();
    Some(Answered::Status(code, text.to_owned()))
}
