//! The content of one simulated file: what a reader sees, what would survive, and the sectors in between.

use super::random::Random;
use super::script::Tear;

/// What the disk writes whole or not at all.
pub(super) const SECTOR_SIZE: usize = 512;

/// A stretch of bytes within one sector.
#[derive(Debug, Clone)]
struct Piece {
    position: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Written but not synced, in the order of writing. A later piece may cover an earlier one.
    unsynced: Vec<Piece>,
    /// A group that was started and not finished. Nobody has been promised anything about it.
    in_flight: Vec<Piece>,
}

impl Image {
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// A write into the page cache.
    pub(super) fn write(&mut self, bytes: &[u8], position: usize, tear: Tear) {
        for piece in torn(bytes, position, tear) {
            overlay(&mut self.live, &piece);
            self.unsynced.push(piece);
        }
    }

    pub(super) fn start_group(&mut self, bytes: &[u8], position: usize) {
        self.in_flight = pieces(bytes, position).collect();
    }

    /// A write past the page cache. Pages that held older bytes of the same place are gone, as the kernel does it.
    pub(super) fn finish_group(&mut self, bytes: &[u8], position: usize, tear: Tear) {
        self.in_flight.clear();
        for piece in torn(bytes, position, tear) {
            self.unsynced.retain(|old| {
                old.position < piece.position
                    || old.position + old.bytes.len() > piece.position + piece.bytes.len()
            });
            overlay(&mut self.live, &piece);
            overlay(&mut self.durable, &piece);
        }
    }

    /// Makes unsynced pieces durable. What `tear` leaves out stays unsynced.
    pub(super) fn sync(&mut self, tear: Tear) {
        let chosen = tear.parts(self.unsynced.len());
        let mut left = Vec::new();
        for (piece, durable) in std::mem::take(&mut self.unsynced).into_iter().zip(chosen) {
            if durable {
                overlay(&mut self.durable, &piece);
            } else {
                left.push(piece);
            }
        }
        self.unsynced = left;
    }

    /// A failed sync, as Linux does it: the pages count as clean from then on, and readers go on seeing them.
    pub(super) fn drop_unsynced(&mut self) {
        self.unsynced.clear();
        self.in_flight.clear();
    }

    pub(super) fn flip_bit(&mut self, position: usize, bit: u8) {
        for image in [&mut self.live, &mut self.durable] {
            if let Some(byte) = image.get_mut(position) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// The file after the process died and the operating system went on.
    pub(super) fn after_kill(&self) -> Self {
        let mut after = Self {
            in_flight: Vec::new(),
            ..self.clone()
        };
        for piece in &self.in_flight {
            overlay(&mut after.live, piece);
            overlay(&mut after.durable, piece);
        }
        after
    }

    /// The file after a loss of power: each sector that was not synced survives if `survives` says so.
    pub(super) fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Self {
        let mut image = self.durable.clone();
        for piece in self.unsynced.iter().chain(&self.in_flight) {
            if survives() {
                overlay(&mut image, piece);
            }
        }
        Self {
            live: image.clone(),
            durable: image,
            ..Self::default()
        }
    }
}

/// Which of the unsynced sectors and names are still there after a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None.
    None,
    /// All.
    All,
    /// Some, chosen by this seed.
    Random(u64),
}

impl Survivors {
    pub(super) fn chooser(self) -> impl FnMut() -> bool {
        let mut random = match self {
            Self::Random(seed) => Some(Random::new(seed)),
            Self::None | Self::All => None,
        };
        move || random.as_mut().map_or(self == Self::All, Random::coin)
    }
}

fn pieces(bytes: &[u8], position: usize) -> impl Iterator<Item = Piece> {
    let mut rest = bytes;
    let mut position = position;
    std::iter::from_fn(move || {
        let in_sector = (SECTOR_SIZE - position % SECTOR_SIZE).min(rest.len());
        let (bytes, after) = rest.split_at(in_sector);
        if bytes.is_empty() {
            return None;
        }
        let piece = Piece {
            position,
            bytes: bytes.to_vec(),
        };
        position += in_sector;
        rest = after;
        Some(piece)
    })
}

fn torn(bytes: &[u8], position: usize, tear: Tear) -> Vec<Piece> {
    let pieces: Vec<_> = pieces(bytes, position).collect();
    let chosen = tear.parts(pieces.len());
    pieces
        .into_iter()
        .zip(chosen)
        .filter_map(|(piece, chosen)| chosen.then_some(piece))
        .collect()
}

fn overlay(image: &mut Vec<u8>, piece: &Piece) {
    let end = piece.position + piece.bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[piece.position..end].copy_from_slice(&piece.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsynced_sectors_survive_one_by_one() {
        let mut image = Image::default();
        image.write(&[1; 1024], 0, Tear::All);
        image.sync(Tear::All);
        image.write(&[2; 1024], 0, Tear::All);
        assert_eq!(image.after_power_cut(|| false).live(), [1; 1024]);
        assert_eq!(image.after_power_cut(|| true).live(), [2; 1024]);
        let mut first = true;
        let torn = image.after_power_cut(|| std::mem::take(&mut first));
        assert_eq!(torn.live()[..512], [2; 512]);
        assert_eq!(torn.live()[512..], [1; 512]);
        assert_eq!(torn.live(), torn.durable());
    }

    #[test]
    fn pieces_end_at_sector_boundaries() {
        let all: Vec<_> = pieces(&[0; 1000], 500)
            .map(|piece| (piece.position, piece.bytes.len()))
            .collect();
        assert_eq!(all, [(500, 12), (512, 512), (1024, 476)]);
    }

    #[test]
    fn a_later_sector_alone_leaves_zeros_before_it() {
        let mut image = Image::default();
        image.write(&[3; 1024], 0, Tear::All);
        let mut survives = [false, true].into_iter();
        let cut = image.after_power_cut(|| survives.next() == Some(true));
        assert_eq!(cut.live()[..512], [0; 512]);
        assert_eq!(cut.live()[512..], [3; 512]);
    }

    #[test]
    fn a_group_replaces_what_was_unsynced_under_it() {
        let mut image = Image::default();
        image.write(&[0; 8192], 0, Tear::All);
        image.start_group(&[5; 4096], 0);
        image.finish_group(&[5; 4096], 0, Tear::All);
        let cut = image.after_power_cut(|| true);
        assert_eq!(cut.live()[..4096], [5; 4096]);
        assert_eq!(cut.live()[4096..], [0; 4096]);
        assert_eq!(image.after_power_cut(|| false).live(), [5; 4096]);
    }

    #[test]
    fn a_group_in_flight_may_or_may_not_survive() {
        let mut image = Image::default();
        image.start_group(&[5; 4096], 0);
        assert!(image.live().is_empty());
        assert!(image.after_power_cut(|| false).live().is_empty());
        assert_eq!(image.after_power_cut(|| true).live(), [5; 4096]);
        assert_eq!(image.after_kill().live(), [5; 4096]);
    }

    #[test]
    fn dropped_bytes_are_seen_but_do_not_survive_a_later_sync() {
        let mut image = Image::default();
        image.write(&[1; 512], 0, Tear::All);
        image.drop_unsynced();
        image.sync(Tear::All);
        assert_eq!(image.live(), [1; 512]);
        assert!(image.durable().is_empty());
    }

    #[test]
    fn tears_choose_sectors() {
        let mut image = Image::default();
        image.write(&[1; 2048], 0, Tear::Prefix(3));
        assert_eq!(image.live().len(), 1536);
        image.write(&[2; 2048], 0, Tear::None);
        assert_eq!(image.live(), [1; 1536]);
    }
}
