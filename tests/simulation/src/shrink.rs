//! From a seed that breaks a promise to a shorter history in which it breaks the same one.

use crate::promise::Promise;
use crate::simulation::{Plan, run};

/// Leaves out clients and faults, and shortens what is left, as long as the same promise is broken. `None` if none is.
pub fn shrink(seed: u64, plan: &Plan) -> Option<Plan> {
    let promise = run(seed, plan).violation?.promise;
    let breaks = |plan: &Plan| broken(seed, plan) == Some(promise);
    let mut best = plan.clone();
    let mut again = true;
    while again {
        again = false;
        for kind in best.clients.clone() {
            let mut without = best.clone();
            without.clients.retain(|one| *one != kind);
            if breaks(&without) {
                best = without;
                again = true;
            }
        }
        for kind in best.faults.clone() {
            let mut without = best.clone();
            without.faults.retain(|one| *one != kind);
            if breaks(&without) {
                best = without;
                again = true;
            }
        }
        let shorter = Plan {
            busy_ms_max: best.busy_ms_max * 3 / 4,
            ..best.clone()
        };
        if shorter.busy_ms_max > 1_000 && breaks(&shorter) {
            best = shorter;
            again = true;
        }
    }
    // From few faults to more: the first number that does it.
    let fewer = (0..16)
        .map(|faults_max| Plan {
            faults_max,
            ..best.clone()
        })
        .find(|plan| breaks(plan));
    Some(fewer.unwrap_or(best))
}

fn broken(seed: u64, plan: &Plan) -> Option<Promise> {
    run(seed, plan).violation.map(|violation| violation.promise)
}
