//! Generates the messages and services of `proto/`. No `protoc` is needed.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use prost_build::Config;

const FILES: [&str; 2] = ["apache/rocketmq/v2/service.proto", "grpc/health/v1/health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", folder.join("apache").display());
    println!("cargo::rerun-if-changed={}", folder.join("grpc").display());
    let files = protox::compile(FILES, [&folder])?;

    let mut config = Config::new();
    // Bodies share the memory that they were read into.
    config.bytes(["."]);
    // In order, so that what is made of them is always the same.
    config.btree_map(["."]);
    let out: PathBuf = env::var_os("OUT_DIR").ok_or("no OUT_DIR")?.into();
    config.file_descriptor_set_path(out.join("descriptors.bin"));
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&files))?;
    tonic_prost_build::configure()
        // What is not served answers so by itself.
        .generate_default_stubs(true)
        .build_transport(false)
        .compile_fds_with_config(files, config)?;
    Ok(())
}
