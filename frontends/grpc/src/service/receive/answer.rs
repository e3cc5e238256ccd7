//! The answer: status, messages, and when they were delivered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use super::handout::Handout;
use crate::budget::Taken;
use crate::message::timestamp;
use crate::port::Port;
use crate::refusal::{Refusal, ok};
use crate::wire::v2::{Code, ReceiveMessageResponse, receive_message_response::Content};

type Found = Result<Option<Handout>, Refusal>;

/// An answer under way. It does something only while it is polled, and dropping it ends all of it.
pub(super) struct Answer {
    port: Arc<Port>,
    step: Step,
    /// The request is under way until its answer is.
    _taken: Option<Taken>,
}

enum Step {
    /// There is nothing to say yet.
    Waiting(Pin<Box<dyn Future<Output = Found> + Send>>),
    /// The status is told.
    Messages(Handout),
    /// There is no message.
    Time,
    /// The time is told, and what was told of messages is on its way as far as the client takes it.
    Told(Handout),
    /// All that is left is the end.
    End(Option<Handout>),
}

impl Answer {
    pub(super) fn new(
        port: Arc<Port>,
        found: impl Future<Output = Found> + Send + 'static,
        taken: Option<Taken>,
    ) -> Self {
        Self {
            port,
            step: Step::Waiting(Box::pin(found)),
            _taken: taken,
        }
    }

    fn time(&self) -> Content {
        Content::DeliveryTimestamp(timestamp(self.port.broker.now_ms()))
    }
}

impl Stream for Answer {
    type Item = Result<ReceiveMessageResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let (content, next) = match &mut this.step {
            Step::Waiting(found) => match found.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(handout))) => (Content::Status(ok()), Step::Messages(handout)),
                Poll::Ready(Ok(None)) => {
                    let nothing = Refusal::new(Code::MessageNotFound, "no new message");
                    (Content::Status(nothing.into()), Step::Time)
                }
                Poll::Ready(Err(refusal)) => (Content::Status(refusal.into()), Step::Time),
            },
            Step::Messages(handout) => match handout.next_message() {
                Some(message) => return told(Content::Message(message)),
                None => {
                    let Step::Messages(handout) = std::mem::replace(&mut this.step, Step::Time) else {
                        return Poll::Ready(None);
                    };
                    (this.time(), Step::Told(handout))
                }
            },
            Step::Time => (this.time(), Step::End(None)),
            Step::Told(_) => {
                // What was said so far must find room in the client's window before the end is asked for: that tells a client that
                // takes it from one that is gone, as far as anything does.
                if let Step::Told(handout) = std::mem::replace(&mut this.step, Step::Time) {
                    this.step = Step::End(Some(handout));
                }
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Step::End(handout) => {
                if let Some(handout) = handout {
                    handout.is_told(&this.port.renewals);
                }
                return Poll::Ready(None);
            }
        };
        this.step = next;
        told(content)
    }
}

fn told(content: Content) -> Poll<Option<Result<ReceiveMessageResponse, Status>>> {
    Poll::Ready(Some(Ok(ReceiveMessageResponse {
        content: Some(content),
    })))
}
