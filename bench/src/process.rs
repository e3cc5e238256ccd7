//! What a process has used: processor time, wake-ups, memory. From `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;

use serde::Serialize;

use crate::error::BenchError;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// What one process had used at one time.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pid: u32,
    /// Nanoseconds on a processor by thread; threads that have ended are missing.
    threads: HashMap<u32, Thread>,
    /// Of all threads there ever were, in steps of 10 ms.
    stat_ns: u64,
    memory: Memory,
}

#[derive(Debug, Clone, Copy, Default)]
struct Thread {
    cpu_ns: u64,
    waits: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    resident_bytes: u64,
    anonymous_bytes: u64,
}

impl Sample {
    pub(crate) fn take(pid: u32) -> Result<Self, BenchError> {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{pid}/{name}"))
                .map_err(|source| BenchError::Process { pid, source })
        };
        let status = read("status")?;
        let stat_ns = stat_ns(&read("stat")?).ok_or_else(|| BenchError::Process {
            pid,
            source: io::Error::new(
                io::ErrorKind::InvalidData,
                "its stat file is not what it used to be",
            ),
        })?;
        Ok(Self {
            pid,
            threads: threads(pid),
            stat_ns,
            memory: Memory {
                resident_bytes: kib(&status, "VmRSS:"),
                anonymous_bytes: kib(&status, "RssAnon:"),
            },
        })
    }

    /// What was used between this sample and a later one.
    pub(crate) fn until(&self, later: &Self) -> Used {
        let mut cpu_ns = 0;
        let mut waits = 0;
        for (thread, end) in &later.threads {
            let begin = self.threads.get(thread).copied().unwrap_or_default();
            cpu_ns += end.cpu_ns.saturating_sub(begin.cpu_ns);
            waits += end.waits.saturating_sub(begin.waits);
        }
        // Threads that ended in between are only in the coarse sum.
        let coarse_ns = later.stat_ns.saturating_sub(self.stat_ns);
        let is_partial = coarse_ns > cpu_ns + 3 * tick_ns();
        Used {
            pid: self.pid,
            cpu_ns: if is_partial { coarse_ns } else { cpu_ns },
            waits,
            resident_bytes: later.memory.resident_bytes,
            anonymous_bytes: later.memory.anonymous_bytes,
        }
    }
}

/// What a process used during the measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) pid: u32,
    pub(crate) cpu_ns: u64,
    pub(crate) waits: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) anonymous_bytes: u64,
}

impl Used {
    /// The same a message.
    pub(crate) fn per_message(&self, messages: u64, elapsed_ns: u64) -> ProcessReport {
        let each = |value: u64| (messages > 0).then(|| value as f64 / messages as f64);
        ProcessReport {
            pid: self.pid,
            cpu_us_per_message: each(self.cpu_ns).map(|ns| ns / 1e3),
            cpu_cores: self.cpu_ns as f64 / elapsed_ns.max(1) as f64,
            waits_per_message: each(self.waits),
            resident_bytes: self.resident_bytes,
            anonymous_bytes: self.anonymous_bytes,
        }
    }
}

/// What a process used during the measurement.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct ProcessReport {
    /// The process.
    pub pid: u32,
    /// Processor time of all its threads, user and system, divided by the messages.
    pub cpu_us_per_message: Option<f64>,
    /// Processors it kept busy.
    pub cpu_cores: f64,
    /// How often its threads went to sleep, divided by the messages.
    pub waits_per_message: Option<f64>,
    /// Memory of its own and mapped files, at the end.
    pub resident_bytes: u64,
    /// Memory of its own, at the end.
    pub anonymous_bytes: u64,
}

/// All threads there are. One that ends meanwhile is left out.
fn threads(pid: u32) -> HashMap<u32, Thread> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return HashMap::new();
    };
    tasks
        .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|task: u32| {
            let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/task/{task}/{name}")).ok();
            let cpu_ns = read("schedstat")?.split_ascii_whitespace().next()?.parse().ok()?;
            let waits = number(&read("status")?, "voluntary_ctxt_switches:");
            Some((task, Thread { cpu_ns, waits }))
        })
        .collect()
}

/// User and system time of a stat file; the name in front may hold anything, parentheses too.
fn stat_ns(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * tick_ns())
}

fn tick_ns() -> u64 {
    NS_PER_SECOND / rustix::param::clock_ticks_per_second().max(1)
}

/// The number behind a name at the begin of a line; 0 if there is none.
fn number(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_ascii_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

fn kib(text: &str, name: &str) -> u64 {
    number(text, name) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_file_is_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0";
        assert_eq!(stat_ns(stat), Some(42 * tick_ns()));
        assert_eq!(stat_ns("7"), None);
    }

    #[test]
    fn busy_work_is_seen() {
        let pid = std::process::id();
        let before = Sample::take(pid).unwrap();
        let begin = std::time::Instant::now();
        while begin.elapsed().as_millis() < 50 {
            std::hint::black_box(begin);
        }
        let used = before.until(&Sample::take(pid).unwrap());
        assert!(used.cpu_ns > 5_000_000, "{used:?}");
        assert!(
            used.resident_bytes >= used.anonymous_bytes && used.anonymous_bytes > 0,
            "{used:?}"
        );
        assert!(matches!(
            Sample::take(u32::MAX),
            Err(BenchError::Process { pid: u32::MAX, .. })
        ));
    }
}
