//! Keeps the table in `docs/configuration.md` equal to the table of keys. `KOUROU_UPDATE_DOCS=1 cargo test` rewrites it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::keys::KEYS;

const BEGIN: &str = "<!-- settings: begin -->\n";
const END: &str = "<!-- settings: end -->\n";

fn table() -> String {
    let mut out = String::from(
        "| flag and TOML key | environment | `broker.conf` | default | what it is |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let short = key.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let code = |text: &str| {
            if text.is_empty() {
                String::new()
            } else {
                format!("`{text}`")
            }
        };
        writeln!(
            out,
            "| `{short}--{} {}` | `{}` | {} | {} | {} |",
            key.name,
            key.value,
            key.variable(),
            code(key.apache.unwrap_or_default()),
            code(key.default),
            key.help
        )
        .unwrap();
    }
    out
}

#[test]
fn the_documented_settings_are_the_real_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let begin = text.find(BEGIN).unwrap() + BEGIN.len();
    let end = text.find(END).unwrap();
    if std::env::var_os("KOUROU_UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{}{}{}", &text[..begin], table(), &text[end..])).unwrap();
    } else {
        assert_eq!(
            &text[begin..end],
            table(),
            "run KOUROU_UPDATE_DOCS=1 cargo test -p kourou"
        );
    }
}
