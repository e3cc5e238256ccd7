//! What a held pull rings.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kourou_broker::receive::{HoldGuard, HoldResult, PullRequest};

use crate::rig::Rig;

/// Counts wake-ups.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<AtomicUsize>);

impl Bell {
    pub(crate) fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn hold(&self, rig: &Rig, request: &PullRequest) -> HoldResult {
        let rings = self.0.clone();
        rig.broker.hold(request, request.offset as u64, move || {
            rings.fetch_add(1, Ordering::SeqCst);
        })
    }

    pub(crate) fn held(&self, rig: &Rig, request: &PullRequest) -> HoldGuard {
        match self.hold(rig, request) {
            HoldResult::Held(guard) => guard,
            other => panic!("{other:?}"),
        }
    }
}
