//! Nothing of its own: the benches are in `benches/`, the load generator in `src/bin/load.rs`, the comparison with other brokers
//! in `peers/`.
