//! What messages that wait for their time cost a running broker: memory, the rate of others, and how late those are that fall due.
//!
//! `benches/timers [TIMERS]`
//!
//! Two brokers run on the same disk. One gets the timers, spread over hours, through its port. Then durable sends to the one and to the
//! other are measured in turn, the other idle meanwhile. In the end timers fall due on the first, with all the others still waiting, while
//! it is sent to, at a steady rate and then as fast as it answers; a consumer waits for them with a held pull and looks at the clock when each arrives.

use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kourou_benches::served::{Caller, HeldPull, Outcome, Served};
use kourou_engine::record::RecordView;
use kourou_proto::remoting::request::{SendMessageHeader, SendNames};
use kourou_proto::{Command, RequestCode, ResponseCode};

const TIMERS: u64 = 1_000_000;
const BODY_BYTES: usize = 256;
const CONNECTIONS: u64 = 4;
/// In flight on a connection.
const BURST: u64 = 128;
/// The timers wait for one hour and up to five more.
const FIRST_MS: i64 = 3_600_000;
const SPREAD_MS: i64 = 5 * 3_600_000;
/// As many plain sends as this fill what fills with any traffic, before memory is looked at.
const WARM_SENDS: &str = "1000000";
/// Of the broker whose memory is not looked at.
const SHORT_WARM_SENDS: &str = "100000";
/// How often the sends to each broker are measured.
const TURNS: usize = 4;
/// Timers that fall due while somebody sends, and over how long.
const DUE: i64 = 12_000;
const DUE_MS: i64 = 12_000;
/// They are sent before the first is due.
const DUE_LEAD_MS: i64 = 3_000;
/// What is sent meanwhile: the rate of `benches/pressure`, and as much as the machine can do, which leaves none of it for anybody else.
const STEADY: [&str; 6] = ["latency", "--no-audit", "--rate", "5000", "--seconds", "14"];
const FULL_SPEED: [&str; 4] = ["send", "--no-audit", "--seconds", "14"];
/// Until memory of the load has been given back.
const SETTLE: Duration = Duration::from_secs(3);

/// The bars.
const BYTES_PER_TIMER_MAX: f64 = 150.0;
const RATE_PERCENT_MIN: f64 = 90.0;
const LATE_P99_MS_MAX: i64 = 20;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "say where the kourou binary is and a folder on the disk that is meant";
    let binary = arguments.next().ok_or(usage)?;
    let below = arguments.next().ok_or(usage)?;
    let timers = arguments.next().map_or(Ok(TIMERS), |timers| timers.parse())?;
    let (binary, below) = (Path::new(&binary), Path::new(&below));

    let waiting = Served::start(binary, below)?;
    let plain = Served::start(binary, below)?;
    for (served, count) in [(&waiting, WARM_SENDS), (&plain, SHORT_WARM_SENDS)] {
        let warm = [
            "send",
            "--no-audit",
            "--body",
            "256",
            "--in-flight",
            "256",
            "--count",
            count,
        ];
        finish(served.bench(&warm))?;
    }
    thread::sleep(SETTLE);
    let before = waiting.resident_bytes()?;
    let begin = std::time::Instant::now();
    load(&waiting, timers)?;
    let took = begin.elapsed();
    thread::sleep(SETTLE);
    let grown = waiting.resident_bytes()?.saturating_sub(before) as f64 / timers.max(1) as f64;
    let is_small = grown <= BYTES_PER_TIMER_MAX;
    println!(
        "{timers} timers sent in {:.1} s: {grown:.0} bytes of memory each, the bar is {BYTES_PER_TIMER_MAX}",
        took.as_secs_f64()
    );

    let mut rates = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        // Neither always has what the other left of the machine.
        for at in [turn % 2, 1 - turn % 2] {
            let served = [&plain, &waiting][at];
            rates[at].push(rate(served)?);
        }
    }
    let [without, with] = rates.map(|mut rates| median(&mut rates));
    let percent = with / without * 100.0;
    println!(
        "durable sends, 64 in flight: {without:.0} a second without, {with:.0} beside them: {percent:.1} %, the bar is \
         {RATE_PERCENT_MIN} %"
    );

    let mut is_timely = true;
    for (topic, load, has_bar) in [("due", &STEADY[..], true), ("due-in-haste", &FULL_SPEED, false)] {
        let (mut stored_late, mut received_late) = fall_due(&waiting, topic, load)?;
        let early = received_late
            .iter()
            .chain(&stored_late)
            .filter(|late| **late < 0)
            .count();
        let (stored, received) = (percentiles(&mut stored_late), percentiles(&mut received_late));
        println!(
            "{DUE} timers due in {} s beside `{}`, ms late at p50, p99, p99.9, most:",
            DUE_MS / 1_000,
            load.join(" ")
        );
        println!("  stored {stored:?}, received {received:?}, {early} early");
        if has_bar {
            println!("  the bar is {LATE_P99_MS_MAX} at p99, received");
        }
        is_timely &= early == 0 && (!has_bar || received[1] <= LATE_P99_MS_MAX);
    }
    if is_small && percent >= RATE_PERCENT_MIN && is_timely {
        Ok(())
    } else {
        Err("a bar is missed".into())
    }
}

/// Sends the timers that wait for hours, as fast as the broker answers.
fn load(served: &Served, timers: u64) -> Outcome<()> {
    let now_ms = now_ms();
    let lane = |lane: u64| {
        let address = served.address;
        thread::spawn(move || -> Outcome<()> {
            let mut caller = Caller::connect(address)?;
            let mut at = lane;
            while at < timers {
                let numbers: Vec<u64> = (at..timers)
                    .step_by(CONNECTIONS as usize)
                    .take(BURST as usize)
                    .collect();
                for number in &numbers {
                    // In no order, as those of many users.
                    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % SPREAD_MS.cast_unsigned();
                    caller.queue(&timer("later", *number, now_ms + FIRST_MS + spread.cast_signed()))?;
                }
                caller.flush()?;
                taken(&mut caller, numbers.len())?;
                at += BURST * CONNECTIONS;
            }
            Ok(())
        })
    };
    let lanes: Vec<_> = (0..CONNECTIONS).map(lane).collect();
    for lane in lanes {
        lane.join().map_err(|_| "a thread has panicked")??;
    }
    Ok(())
}

/// How late the timers are that fall due while somebody sends: when they were stored, and when they were received.
fn fall_due(served: &Served, topic: &str, load: &[&str]) -> Outcome<(Vec<i64>, Vec<i64>)> {
    served.create_topic(topic, 1)?;
    let first_ms = now_ms() + DUE_LEAD_MS;
    let mut caller = Caller::connect(served.address)?;
    for at in 0..DUE {
        caller.queue(&timer(topic, at.cast_unsigned(), first_ms + at * DUE_MS / DUE))?;
        if at % 128 == 127 || at == DUE - 1 {
            caller.flush()?;
            taken(&mut caller, (at % 128 + 1).cast_unsigned() as usize)?;
        }
    }
    if now_ms() >= first_ms {
        return Err("sending took too long: some were due before all were sent".into());
    }
    let mut sends = served.bench(load).stdout(Stdio::null()).spawn()?;
    let late = receive(&mut caller, topic);
    sends.kill()?;
    sends.wait()?;
    late
}

fn receive(caller: &mut Caller, topic: &str) -> Outcome<(Vec<i64>, Vec<i64>)> {
    let (mut stored, mut received) = (Vec::new(), Vec::new());
    let mut offset = 0;
    while offset < DUE {
        caller.send(&pull(topic, offset))?;
        let answer = caller.receive()?;
        let arrived_ms = now_ms();
        if answer.response_code() != ResponseCode::SUCCESS {
            continue;
        }
        let mut rest = &answer.body[..];
        while !rest.is_empty() {
            let record = RecordView::parse(rest)?;
            let due_ms: i64 = record.property("TIMER_OUT_MS").ok_or("not a timer")?.parse()?;
            stored.push(record.store_ms() - due_ms);
            received.push(arrived_ms - due_ms);
            offset = record.queue_offset().cast_signed() + 1;
            rest = &rest[record.size_bytes() as usize..];
        }
    }
    Ok((stored, received))
}

/// So many sends were stored.
fn taken(caller: &mut Caller, count: usize) -> Outcome<()> {
    for _ in 0..count {
        let answer = caller.receive()?;
        if answer.response_code() != ResponseCode::SUCCESS {
            let (code, remark) = (answer.response_code(), answer.remark());
            return Err(format!("a timer is not taken: {code} {remark}").into());
        }
    }
    Ok(())
}

fn timer(topic: &str, number: u64, due_ms: i64) -> Command {
    let properties = format!(
        "UNIQ_KEY\u{1}{:032X}\u{2}WAIT\u{1}true\u{2}TIMER_DELIVER_MS\u{1}{due_ms}\u{2}",
        u128::from(number) + 1
    );
    let header = SendMessageHeader {
        names: SendNames::Short,
        producer_group: "timers",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 0,
        sys_flag: 0,
        born_timestamp_ms: due_ms,
        flag: 0,
        properties: &properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
        broker_name: None,
    };
    Command::request(RequestCode::SEND_MESSAGE_V2, 1)
        .with_fields(&header)
        .with_body(vec![b'x'; BODY_BYTES])
}

fn pull(topic: &str, offset: i64) -> Command {
    let pull = HeldPull {
        group: "timers",
        topic,
        queue_id: 0,
        offset,
        hold_ms: 15_000,
        opaque: 1,
    };
    pull.request()
}

/// Durable sends a second.
fn rate(served: &Served) -> Outcome<f64> {
    let report = finish(served.bench(&["send", "--no-audit", "--json", "--seconds", "4"]))?;
    let report: serde_json::Value = serde_json::from_slice(&report)?;
    Ok(report["per_second"].as_f64().ok_or("a report without a rate")?)
}

fn finish(mut bench: Process) -> Outcome<Vec<u8>> {
    let output = bench.output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("kourou bench: {}", output.status).into())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    (values[(values.len() - 1) / 2] + values[half]) / 2.0
}

/// The 50th, the 99th, the 99.9th, and the last.
fn percentiles(values: &mut [i64]) -> [i64; 4] {
    values.sort_unstable();
    [0.5, 0.99, 0.999, 1.0].map(|share| values[((values.len() - 1) as f64 * share).ceil() as usize])
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
