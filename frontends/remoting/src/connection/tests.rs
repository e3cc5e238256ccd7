use std::sync::mpsc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kourou_broker::client::{Answer, AskError};
use kourou_proto::{FrameDecoder, FrameError, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Hands every request's ticket to the test.
struct Tickets(mpsc::Sender<(Command, ReplyTo)>);

impl Handler for Tickets {
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command) {
        let ticket = connection.ticket(command);
        let _ = self.0.send((command.clone(), ticket));
    }

    fn on_close(&mut self, _: &Arc<Connection>) {}
}

/// Answers every request at once with `body_bytes` of body.
struct Echo {
    body_bytes: usize,
}

impl Handler for Echo {
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command) {
        let ticket = connection.ticket(command);
        let answer = ticket.command(ResponseCode::SUCCESS);
        ticket.send_records(answer, vec![Bytes::from(vec![7; self.body_bytes])]);
    }

    fn on_close(&mut self, _: &Arc<Connection>) {}
}

fn start<H: Handler + 'static>(
    limits: Limits,
    pipe_bytes: usize,
    handler: H,
) -> (DuplexStream, Arc<Connection>, JoinHandle<Closed>) {
    let (ours, theirs) = duplex(pipe_bytes);
    let connection = Connection::new(1, ([127, 0, 0, 1], 9).into(), limits);
    let driver = Driver::new(theirs, Arc::clone(&connection), handler);
    (ours, connection, tokio::spawn(driver))
}

fn request(opaque: i32, body: usize) -> BytesMut {
    let mut wire = BytesMut::new();
    Command::request(RequestCode::GET_MAX_OFFSET, opaque)
        .with_body(vec![1; body])
        .encode(&mut wire)
        .unwrap();
    wire
}

async fn next(stream: &mut DuplexStream, input: &mut BytesMut) -> Command {
    loop {
        if let Some(frame) = FrameDecoder::default().decode(input).unwrap() {
            return Command::decode(frame).unwrap();
        }
        let read = timeout(Duration::from_secs(5), stream.read_buf(input))
            .await
            .unwrap()
            .unwrap();
        assert!(read > 0, "closed");
    }
}

async fn ended(task: JoinHandle<Closed>) -> Closed {
    timeout(Duration::from_secs(5), task).await.unwrap().unwrap()
}

#[tokio::test]
async fn answers_in_any_order_from_any_thread() {
    let (sender, tickets) = mpsc::channel();
    let (mut peer, _, _task) = start(Limits::default(), 4096, Tickets(sender));
    for opaque in 0..100 {
        peer.write_all(&request(opaque, 3)).await.unwrap();
    }
    let mut waiting = Vec::new();
    while waiting.len() < 100 {
        match tickets.try_recv() {
            Ok(ticket) => waiting.push(ticket),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    let answering = std::thread::spawn(move || {
        for (_, ticket) in waiting.into_iter().rev() {
            let answer = ticket.command(ResponseCode::SUCCESS).with_body("x");
            ticket.send(answer);
        }
    });
    let mut input = BytesMut::new();
    for want in (0..100).rev() {
        assert_eq!(next(&mut peer, &mut input).await.opaque(), want);
    }
    answering.join().unwrap();
}

#[tokio::test]
async fn oneway_requests_are_not_answered_and_give_their_credit_back() {
    let limits = Limits {
        in_flight_max: 1,
        ..Limits::default()
    };
    let (mut peer, connection, _task) = start(limits, 4096, Echo { body_bytes: 1 });
    let mut wire = BytesMut::new();
    for opaque in 0..50 {
        Command::request(RequestCode::HEART_BEAT, opaque)
            .oneway()
            .encode(&mut wire)
            .unwrap();
    }
    wire.extend_from_slice(&request(50, 0));
    peer.write_all(&wire).await.unwrap();
    assert_eq!(next(&mut peer, &mut BytesMut::new()).await.opaque(), 50);
    assert_eq!(connection.in_flight.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn frames_in_pieces_are_put_together() {
    let (mut peer, _, _task) = start(Limits::default(), 4096, Echo { body_bytes: 0 });
    let mut wire = request(1, 10);
    wire.extend_from_slice(&request(2, 0));
    for byte in wire {
        peer.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut input = BytesMut::new();
    assert_eq!(next(&mut peer, &mut input).await.opaque(), 1);
    assert_eq!(next(&mut peer, &mut input).await.opaque(), 2);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read_from() {
    let limits = Limits {
        outbox_size_bytes_max: 64 * 1024,
        ..Limits::default()
    };
    let (mut peer, connection, _task) = start(limits, 1024, Echo { body_bytes: 10_000 });
    // The peer writes requests until the pipe takes no more, and reads nothing.
    let mut sent = 0;
    while timeout(Duration::from_millis(200), peer.write_all(&request(sent, 100)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 5_000, "it is read without end");
    }
    assert!(connection.is_congested());
    assert!(!connection.push(Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, 0)));
    let unwritten = connection.unwritten_bytes.load(Ordering::Relaxed);
    // One read may hold more requests than the bound allows answers for, but no more than one.
    assert!(unwritten < 64 * 1024 + 80 * 10_500, "{unwritten} bytes wait");
    // Once it reads, everything whole that it wrote is answered.
    let mut input = BytesMut::new();
    for want in 0..sent {
        assert_eq!(next(&mut peer, &mut input).await.opaque(), want);
    }
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let limits = Limits {
        in_flight_max: 3,
        ..Limits::default()
    };
    let (sender, tickets) = mpsc::channel();
    let (mut peer, connection, _task) = start(limits, 64 * 1024, Tickets(sender));
    for opaque in 0..10 {
        peer.write_all(&request(opaque, 0)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(connection.in_flight.load(Ordering::Relaxed), 3);
    let mut input = BytesMut::new();
    for want in 0..10 {
        let (_, ticket) = loop {
            match tickets.try_recv() {
                Ok(ticket) => break ticket,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let answer = ticket.command(ResponseCode::SUCCESS);
        ticket.send(answer);
        assert_eq!(next(&mut peer, &mut input).await.opaque(), want);
    }
}

#[tokio::test]
async fn held_requests_let_others_pass() {
    let limits = Limits {
        in_flight_max: 1,
        held_max: 2,
        ..Limits::default()
    };
    let (sender, tickets) = mpsc::channel();
    let (mut peer, _, _task) = start(limits, 64 * 1024, Tickets(sender));
    let mut held = Vec::new();
    for opaque in 0..3 {
        peer.write_all(&request(opaque, 0)).await.unwrap();
        let (_, mut ticket) = loop {
            match tickets.try_recv() {
                Ok(ticket) => break ticket,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        assert_eq!(ticket.hold(), opaque < 2, "the third is one too many");
        assert_eq!(ticket.hold(), opaque < 2, "holding twice counts once");
        held.push(ticket);
    }
    drop(held.pop());
    let mut input = BytesMut::new();
    for (want, ticket) in held.into_iter().enumerate() {
        let answer = ticket.command(ResponseCode::PULL_NOT_FOUND);
        ticket.send(answer);
        assert_eq!(next(&mut peer, &mut input).await.opaque(), want as i32);
    }
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_connection() {
    type Expected = fn(&Closed) -> bool;
    let cases: [(&[u8], Expected); 6] = [
        (&[0x7f, 0xff, 0xff, 0xff], |c| {
            matches!(c, Closed::Frame(FrameError::TooLong { .. }))
        }),
        (&[0xff; 8], |c| {
            matches!(c, Closed::Frame(FrameError::BadLength { .. }))
        }),
        (&[0, 0, 0, 8, 9, 0, 0, 1, 0, 0, 0, 0], |c| {
            matches!(c, Closed::Frame(FrameError::UnknownCodec { .. }))
        }),
        (&[0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0, 0], |c| {
            matches!(c, Closed::Frame(FrameError::HeaderBeyondFrame { .. }))
        }),
        (&[0, 0, 0, 8, 0, 0, 0, 4, b'{', b'{', b'{', b'{'], |c| {
            matches!(c, Closed::Header(_))
        }),
        (&[0x16, 3, 1, 2, 0, 1, 0], |c| matches!(c, Closed::Tls)),
    ];
    for (bytes, expected) in cases {
        let (mut peer, connection, task) = start(Limits::default(), 4096, Echo { body_bytes: 0 });
        peer.write_all(bytes).await.unwrap();
        let closed = ended(task).await;
        assert!(expected(&closed), "{bytes:?} gave {closed:?}");
        assert!(connection.is_closed());
    }
}

#[tokio::test]
async fn a_lying_length_allocates_nothing() {
    let (mut peer, _, task) = start(Limits::default(), 4096, Echo { body_bytes: 0 });
    // Allowed, and never sent: fifteen megabytes are waited for, not reserved. See also the decoder's own tests.
    peer.write_all(&[0, 0xf0, 0, 0, 0, 0, 0, 2, b'{', b'}'])
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(peer);
    assert!(matches!(ended(task).await, Closed::InsideFrame));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_traffic_keeps_it() {
    let (mut peer, _, task) = start(Limits::default(), 4096, Echo { body_bytes: 0 });
    let mut input = BytesMut::new();
    for opaque in 0..3 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        peer.write_all(&request(opaque, 0)).await.unwrap();
        // Not `next`: its own time limit would run out in paused time.
        while input.is_empty() {
            peer.read_buf(&mut input).await.unwrap();
        }
        input.clear();
    }
    assert!(!task.is_finished());
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert!(matches!(task.await.unwrap(), Closed::Idle));
}

#[tokio::test]
async fn draining_answers_what_was_read_and_then_ends() {
    let (sender, tickets) = mpsc::channel();
    let (mut peer, connection, task) = start(Limits::default(), 4096, Tickets(sender));
    peer.write_all(&request(1, 0)).await.unwrap();
    let (_, ticket) = loop {
        match tickets.try_recv() {
            Ok(ticket) => break ticket,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    connection.drain();
    peer.write_all(&request(2, 0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!task.is_finished());
    let answer = ticket.command(ResponseCode::SUCCESS);
    ticket.send(answer);
    assert_eq!(next(&mut peer, &mut BytesMut::new()).await.opaque(), 1);
    assert!(matches!(ended(task).await, Closed::ByUs));
    assert!(tickets.try_recv().is_err(), "nothing new was read");
}

#[tokio::test]
async fn answers_to_a_closed_connection_go_nowhere() {
    let (sender, tickets) = mpsc::channel();
    let (mut peer, connection, task) = start(Limits::default(), 4096, Tickets(sender));
    peer.write_all(&request(1, 0)).await.unwrap();
    let (_, ticket) = loop {
        match tickets.try_recv() {
            Ok(ticket) => break ticket,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    drop(peer);
    assert!(matches!(ended(task).await, Closed::ByPeer));
    let answer = ticket.command(ResponseCode::SUCCESS);
    ticket.send(answer);
    assert_eq!(connection.outbox.lock().queue.len(), 0);
}

/// Gives answers of the peer to whoever asked.
struct Asks;

impl Handler for Asks {
    fn on_command(&mut self, connection: &Arc<Connection>, command: &Command) {
        assert!(command.is_response());
        connection.answered(command);
    }

    fn on_close(&mut self, _: &Arc<Connection>) {}
}

type Outcomes = mpsc::Receiver<(i32, Result<Answer, AskError>)>;

/// Asks so many questions, numbered in their body.
fn ask(connection: &Arc<Connection>, count: i32, patience: Duration) -> Outcomes {
    let (sender, outcomes) = mpsc::channel();
    for number in 0..count {
        let sender = sender.clone();
        let request =
            Command::request(RequestCode::GET_CONSUMER_RUNNING_INFO, 0).with_body(number.to_string());
        let done = move |outcome| sender.send((number, outcome)).unwrap();
        connection.ask(request, patience, Box::new(done));
    }
    outcomes
}

async fn outcome(outcomes: &Outcomes) -> (i32, Result<Answer, AskError>) {
    for _ in 0..100_000 {
        if let Ok(outcome) = outcomes.try_recv() {
            return outcome;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody has answered");
}

#[tokio::test]
async fn answers_find_their_questions() {
    let (mut peer, connection, _task) = start(Limits::default(), 4096, Asks);
    let outcomes = ask(&connection, 20, Duration::from_secs(60));
    let mut input = BytesMut::new();
    let mut questions = Vec::new();
    while questions.len() < 20 {
        questions.push(next(&mut peer, &mut input).await);
    }
    for question in questions.iter().rev() {
        let mut wire = BytesMut::new();
        let answer = question
            .reply(ResponseCode::SUCCESS)
            .with_body(question.body.clone());
        answer.encode(&mut wire).unwrap();
        peer.write_all(&wire).await.unwrap();
        let (number, answer) = outcome(&outcomes).await;
        assert_eq!(answer.unwrap().body, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_is_given_up_in_time_and_its_late_answer_dropped() {
    let (mut peer, connection, _task) = start(Limits::default(), 4096, Asks);
    let patience = Duration::from_secs(10);
    let outcomes = ask(&connection, 1, patience);
    let question = next(&mut peer, &mut BytesMut::new()).await;
    tokio::time::sleep(Duration::from_millis(9_990)).await;
    assert!(outcomes.try_recv().is_err(), "not before its time");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        outcomes.try_recv().unwrap().1,
        Err(AskError::Timeout { patience })
    );

    let mut wire = BytesMut::new();
    question.reply(ResponseCode::SUCCESS).encode(&mut wire).unwrap();
    peer.write_all(&wire).await.unwrap();
    let outcomes = ask(&connection, 1, patience);
    let mut input = BytesMut::new();
    let question = next(&mut peer, &mut input).await;
    let mut wire = BytesMut::new();
    question
        .reply(ResponseCode::NO_PERMISSION)
        .encode(&mut wire)
        .unwrap();
    peer.write_all(&wire).await.unwrap();
    let code = outcome(&outcomes).await.1.unwrap().code;
    assert_eq!(code, ResponseCode::NO_PERMISSION.value());
}

#[tokio::test]
async fn questions_end_with_their_connection_and_are_bounded() {
    let limits = Limits {
        questions_max: 3,
        ..Limits::default()
    };
    let (peer, connection, task) = start(limits, 4096, Asks);
    let outcomes = ask(&connection, 4, Duration::from_secs(60));
    assert_eq!(outcome(&outcomes).await, (3, Err(AskError::Busy { open: 3 })));
    drop(peer);
    ended(task).await;
    for _ in 0..3 {
        assert_eq!(outcome(&outcomes).await.1, Err(AskError::Gone));
    }
    let outcomes = ask(&connection, 1, Duration::from_secs(60));
    assert_eq!(outcome(&outcomes).await.1, Err(AskError::Gone));
}
