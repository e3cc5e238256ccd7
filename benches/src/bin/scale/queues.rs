//! A million queues beside sixteen: the rate of durable sends to any of them, and what a queue costs.

use kourou_benches::appends::Appends;
use kourou_benches::served::Outcome;

use crate::Run;
use crate::store::{Random, append_to_any, make_known, median, memory_bytes, mib, open};

const FEW: u64 = 16;
const TURNS: usize = 4;
const RSS_MIB_MAX: u64 = 600;

pub(crate) fn measure(run: &mut Run) -> Outcome<()> {
    let many = run.sized(1_000_000, 20_000);
    // Some segments in all, so that several are left.
    let count = run.sized(400_000, 20_000);
    let (few_dir, many_dir) = (run.folder()?, run.folder()?);
    let few_store = open(few_dir.path())?;
    let many_store = open(many_dir.path())?;
    let mut appends = Appends::new(512);
    let mut random = Random::new(1);
    append_to_any(&few_store, &mut appends, &mut random, FEW, count);
    make_known(&many_store, FEW)?;
    let before = memory_bytes("RssAnon");
    make_known(&many_store, many)?;
    // What a queue costs that has nothing in the live segment: the messages that made it known are in one that was left.
    append_to_any(
        &many_store,
        &mut appends,
        &mut random,
        FEW,
        run.sized(300_000, 1_000),
    );
    let grown = memory_bytes("RssAnon").saturating_sub(before);

    let (mut few_rates, mut many_rates, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let mut most = 0;
    for _ in 0..TURNS {
        let few_took = append_to_any(&few_store, &mut appends, &mut random, FEW, count);
        let many_took = append_to_any(&many_store, &mut appends, &mut random, many, count);
        most = most.max(memory_bytes("VmRSS"));
        few_rates.push(count as f64 / few_took.as_secs_f64());
        many_rates.push(count as f64 / many_took.as_secs_f64());
        shares.push(few_took.as_secs_f64() / many_took.as_secs_f64() * 100.0);
    }
    let (few_rate, many_rate, share) = (
        median(&mut few_rates),
        median(&mut many_rates),
        median(&mut shares),
    );
    run.bar(
        &format!("{many} queues, 1 KiB, a queue at random, 512 in flight"),
        share >= 70.0,
        &format!(
            "{many_rate:.0} a second, {share:.0} % ({:.0} to {:.0} %) of the {few_rate:.0} with {FEW} queues",
            shares[0],
            shares[TURNS - 1]
        ),
        "70 %",
    );
    run.bar(
        "memory of it all, both stores, their files' pages included",
        mib(most) <= RSS_MIB_MAX,
        &format!(
            "{} MiB resident at the most, {} MiB of it anonymous; a queue costs {} bytes while nothing arrives for it",
            mib(most),
            mib(memory_bytes("RssAnon")),
            grown / many
        ),
        "600 MiB",
    );
    few_store.close()?;
    let started = std::time::Instant::now();
    many_store.close()?;
    println!(
        "       a clean close of the store with {many} queues took {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}
