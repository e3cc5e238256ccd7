//! Sends messages to a broker as fast as it answers, with a fixed number in flight, and counts what was acknowledged.
//!
//! `load HOST:PORT [--connections 4] [--in-flight 64] [--seconds 5] [--body 1024] [--topic load] [--binary]`
//!
//! Speaks the remoting protocol by itself, so that Apache's broker and kourou meet the same sender. Prints one line of JSON. The
//! comparison that uses it is `benches/peers/compare`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kourou_proto::{Command, FrameDecoder, FrameLimits, HeaderCodec, RequestCode, ResponseCode};

#[derive(Debug, Clone)]
struct Settings {
    broker: String,
    connections: usize,
    in_flight: usize,
    seconds: u64,
    body_size_bytes: usize,
    topic: String,
    codec: HeaderCodec,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let counters = Arc::new(Counters::default());
    let started = Instant::now();
    let senders: Vec<_> = (0..settings.connections)
        .map(|at| {
            let (settings, counters) = (settings.clone(), Arc::clone(&counters));
            std::thread::spawn(move || send(at, &settings, &counters).map_err(|error| error.to_string()))
        })
        .collect();
    // The first second warms both sides up.
    std::thread::sleep(Duration::from_secs(1));
    let before = counters.acknowledged.load(Ordering::Relaxed);
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(settings.seconds));
    let counted = counters.acknowledged.load(Ordering::Relaxed) - before;
    let elapsed = begun.elapsed();
    counters.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().map_err(|_| "a sender panicked")??;
    }
    println!(
        r#"{{"acknowledged":{},"refused":{},"per_second":{:.0},"seconds":{:.3}}}"#,
        counters.acknowledged.load(Ordering::Relaxed),
        counters.refused.load(Ordering::Relaxed),
        counted as f64 / elapsed.as_secs_f64(),
        started.elapsed().as_secs_f64(),
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Counters {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// One connection: as many requests as it may have in flight, each sent again when it is answered.
fn send(at: usize, settings: &Settings, counters: &Counters) -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(&settings.broker)?;
    stream.set_nodelay(true)?;
    let in_flight = (settings.in_flight / settings.connections).max(1);
    let frames: Vec<BytesMut> = (0..in_flight)
        .map(|slot| frame(at, slot, settings))
        .collect::<Result<_, _>>()?;
    let mut output = Vec::new();
    for frame in &frames {
        output.extend_from_slice(frame);
    }
    let decoder = FrameDecoder::new(FrameLimits::default());
    let mut input = BytesMut::with_capacity(64 << 10);
    let mut chunk = vec![0; 64 << 10];
    let mut waiting = in_flight;
    loop {
        stream.write_all(&output)?;
        output.clear();
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err("the broker closed the connection".into());
        }
        input.extend_from_slice(&chunk[..count]);
        let mut acknowledged = 0;
        while let Some(frame) = decoder.decode(&mut input)? {
            let answer = Command::decode(frame)?;
            if answer.response_code() == ResponseCode::SUCCESS {
                acknowledged += 1;
            } else {
                counters.refused.fetch_add(1, Ordering::Relaxed);
            }
            waiting -= 1;
            if !counters.stop.load(Ordering::Relaxed) {
                let slot = usize::try_from(answer.opaque())?;
                output.extend_from_slice(frames.get(slot).ok_or("an answer to nothing")?);
                waiting += 1;
            }
        }
        counters.acknowledged.fetch_add(acknowledged, Ordering::Relaxed);
        if waiting == 0 {
            return Ok(());
        }
    }
}

/// The request of one slot; its opaque is the slot's number, so that it can be sent again as it is.
fn frame(
    connection: usize,
    slot: usize,
    settings: &Settings,
) -> Result<BytesMut, Box<dyn std::error::Error>> {
    let queue = (connection + slot) % 4;
    let unique =
        format!("UNIQ_KEY\u{1}7F0000010000000000000000{connection:04X}{slot:04X}\u{2}WAIT\u{1}true\u{2}");
    let command = Command::request(RequestCode::SEND_MESSAGE_V2, i32::try_from(slot)?)
        .with_codec(settings.codec)
        .with_field("a", "load")
        .with_field("b", settings.topic.as_str())
        .with_field("c", "TBW102")
        .with_field("d", "4")
        .with_field("e", queue.to_string().as_str())
        .with_field("f", "0")
        .with_field("g", "1700000000000")
        .with_field("h", "0")
        .with_field("i", unique.as_str())
        .with_field("j", "0")
        .with_field("k", "false")
        .with_field("m", "false")
        .with_body(vec![b'x'; settings.body_size_bytes]);
    let mut bytes = BytesMut::new();
    command.encode(&mut bytes)?;
    Ok(bytes)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, Box<dyn std::error::Error>> {
    let mut settings = Settings {
        broker: words.next().ok_or("usage: load HOST:PORT [--connections N] [--in-flight N] [--seconds N] [--body BYTES] [--topic NAME] [--binary]")?,
        connections: 4,
        in_flight: 64,
        seconds: 5,
        body_size_bytes: 1024,
        topic: "load".into(),
        codec: HeaderCodec::Json,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--connections" => settings.connections = value()?.parse()?,
            "--in-flight" => settings.in_flight = value()?.parse()?,
            "--seconds" => settings.seconds = value()?.parse()?,
            "--body" => settings.body_size_bytes = value()?.parse()?,
            "--topic" => settings.topic = value()?,
            "--binary" => settings.codec = HeaderCodec::Rocketmq,
            _ => return Err(format!("unknown word {word}").into()),
        }
    }
    Ok(settings)
}
