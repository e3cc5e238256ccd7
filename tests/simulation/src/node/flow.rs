//! Refusals for a limit: each must be there, and nothing that is beyond one gets through.

use kourou_broker::code;

use super::Node;
use super::saying::Asker;
use crate::clients::metered;
use crate::promise::Promise;
use crate::scene::Scene;
use crate::wire::{Reply, Request};

impl Node {
    /// Compares what was let through, and what was not, with what there was.
    pub(super) fn compare_flow(&mut self, scene: &mut Scene, to: Asker, request: &Request, reply: &Reply) {
        match (request, reply) {
            (Request::Send(message), Reply::Sent(_))
                if scene.ledger.message(*message).content.topic == metered::TOPIC =>
            {
                scene.ledger.send_metered(to.id, true);
            }
            (Request::Send(_), Reply::Refused { code, .. }) if *code == code::FLOW_CONTROL => {
                scene.ledger.send_metered(to.id, false);
            }
            (Request::Send(_), Reply::Refused { code, text }) if *code == code::SYSTEM_BUSY => {
                scene.ledger.send_not_metered(to.id);
                // A send whose topic had to be made first is looked at again while the log is being written, with what that brings.
                if self.room_at == (to.id, scene.now_ms) && self.written_at_ms < scene.now_ms {
                    self.compare_busy(scene, text);
                }
            }
            (Request::Pull { pull, .. }, Reply::Pulled { records, .. }) if pull.topic == *metered::TOPIC => {
                scene.ledger.pull_metered(Some(records.len()));
            }
            (Request::Pull { pull, .. }, Reply::Refused { code, .. })
                if pull.topic == *metered::TOPIC && *code == code::FLOW_CONTROL =>
            {
                scene.ledger.pull_metered(None);
            }
            _ => {}
        }
    }

    fn compare_busy(&mut self, scene: &mut Scene, text: &str) {
        let (in_flight_bytes, size_bytes) = self.room_bytes;
        let is_over = in_flight_bytes + size_bytes > self.options.in_flight_size_bytes_max;
        let waits_ms = scene.now_ms - self.written_at_ms;
        let is_slow = waits_ms > self.options.commit_latency_max_ms;
        let is_right = if text.starts_with("[IN_FLIGHT_BYTES]") {
            is_over
        } else if text.starts_with("[COMMIT_LATENCY]") {
            is_slow
        } else {
            true
        };
        if !is_right {
            let what = format!(
                "{text}; {in_flight_bytes} bytes wait, {size_bytes} were to come, and it was written {waits_ms} ms ago"
            );
            scene.ledger.broken(Promise::Refusals, what);
        }
    }
}
