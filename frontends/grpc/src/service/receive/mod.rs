//! Receiving: messages handed out for a time, to be acknowledged one by one.
//!
//! ```text
//!  request --ask--> Ask --wait--> Handout, durable --> Answer: status, messages, time of delivery
//!                    |                 |
//!            (nothing yet: held)   dropped before all of it is told: it comes again in a second
//! ```

mod answer;
mod ask;
mod handout;
mod wait;

use std::sync::Arc;

use tonic::Request;
use tonic::codegen::BoxStream;

use crate::budget::Taken;
use crate::port::Port;
use crate::wire::v2::{ReceiveMessageRequest, ReceiveMessageResponse};

use answer::Answer;

/// Begins an answer, which waits for messages as long as the client does. A client that goes away ends it.
pub(super) fn receive(
    port: &Arc<Port>,
    request: Request<ReceiveMessageRequest>,
) -> BoxStream<ReceiveMessageResponse> {
    let taken: Option<Taken> = request.extensions().get().cloned();
    let waiting = Arc::clone(port);
    let found = async move {
        let port = waiting;
        let ask = ask::parse(&port, &request)?;
        if let Some(taken) = request.extensions().get::<Taken>() {
            taken.give_back();
        }
        // What waits is what was understood of it.
        drop(request);
        wait::wait(&port, ask).await
    };
    Box::pin(Answer::new(Arc::clone(port), found, taken))
}
