//! `docs/request-codes.md` is what the ports do: every code is asked for at both, and every test that it names exists.

use std::collections::BTreeMap;
use std::path::Path;

use kourou_proto::{Command, RequestCode, ResponseCode};
use kourou_remoting::client::Link;

use crate::support::{TIMEOUT, node};

const TABLE: &str = "../../docs/request-codes.md";

/// One row of the table.
struct Row {
    name: String,
    tier: String,
    broker: bool,
    name_server: bool,
    asked_of_clients: bool,
    test: String,
}

fn yes(cell: &str, line: &str) -> bool {
    match cell {
        "yes" => true,
        "-" => false,
        other => panic!("{TABLE}: a column says {other:?}, it may say 'yes' or '-':\n{line}"),
    }
}

fn table() -> BTreeMap<i32, Row> {
    let text = std::fs::read_to_string(TABLE).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(code) = cells.get(1).and_then(|code| code.parse().ok()) else {
            continue;
        };
        assert_eq!(cells.len(), 10, "{TABLE}: a row has eight columns:\n{line}");
        let row = Row {
            name: cells[2].to_owned(),
            tier: cells[3].to_owned(),
            broker: yes(cells[4], line),
            name_server: yes(cells[5], line),
            asked_of_clients: yes(cells[6], line),
            test: cells[8].to_owned(),
        };
        assert!(
            rows.insert(code, row).is_none(),
            "{TABLE}: code {code} has two rows"
        );
    }
    rows
}

/// What is wrong with what a port says to `code`, if it is not what the table says.
async fn wrong(link: &Link, port: &str, code: RequestCode, listed: bool) -> Option<String> {
    let answer = link.call(Command::request(code, 0), TIMEOUT).await;
    let answered = match &answer {
        Ok(answer) => answer.response_code() != ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
        Err(error) => {
            return Some(format!(
                "{code} without fields: the {port}'s port said nothing: {error}"
            ));
        }
    };
    match (answered, listed) {
        (true, false) => Some(format!(
            "{code} is answered on the {port}'s port: write 'yes' into its column '{port}', say what differs from upstream, \
             and name the test that shows it"
        )),
        (false, true) => Some(format!(
            "{code} is not answered on the {port}'s port: write '-' into its column '{port}', or answer it"
        )),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_says_what_the_ports_answer() {
    let table = table();
    let node = node().await;
    let (broker, names) = (node.link().await, node.names().await);
    let mut broken = Vec::new();
    for &code in RequestCode::ALL {
        let Some(row) = table.get(&code.value()) else {
            broken.push(format!(
                "{code} has no row: copy its neighbour's, in the order of the numbers"
            ));
            continue;
        };
        if code.name() != Some(&row.name) {
            broken.push(format!("{code} is called {} in its row", row.name));
        }
        broken.extend(wrong(&broker, "broker", code, row.broker).await);
        broken.extend(wrong(&names, "name server", code, row.name_server).await);
    }
    for code in table
        .keys()
        .filter(|code| RequestCode::new(**code).name().is_none())
    {
        broken.push(format!(
            "{code} has a row and no name in proto/src/remoting/code.rs"
        ));
    }
    assert!(
        broken.is_empty(),
        "{TABLE} is not what the ports do:\n  {}",
        broken.join("\n  ")
    );
}

#[test]
fn every_code_that_clients_need_has_its_test() {
    let mut broken = Vec::new();
    for (code, row) in table() {
        let answered = row.broker || row.name_server || row.asked_of_clients;
        match row.test.rsplit_once("::") {
            Some((file, function)) => {
                let path = Path::new("tests").join(file).with_extension("rs");
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                if !text.contains(&format!("fn {function}()")) {
                    broken.push(format!("{code}: there is no test `{function}` in frontends/remoting/{}", path.display()));
                }
            }
            None if !row.test.is_empty() => broken.push(format!(
                "{code}: the test {:?} is none: write `ports/FILE::FUNCTION`",
                row.test
            )),
            None if answered && matches!(&*row.tier, "T1" | "T2") => broken.push(format!(
                "{code} is answered and of {}: name the test below frontends/remoting/tests that shows it, as \
                 `ports/FILE::FUNCTION`, in its last column",
                row.tier
            )),
            None => {}
        }
    }
    assert!(broken.is_empty(), "{TABLE}:\n  {}", broken.join("\n  "));
}
