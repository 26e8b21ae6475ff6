//! The example clients of docs/clients, run as a till would run them.

use crate::shop::{Shop, TILL_3, until};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Client {
    program: &'static str,
    script: &'static str,
}

const CLIENTS: [Client; 2] =
    [Client { program: "python3", script: "till.py" }, Client { program: "node", script: "till.mjs" }];

impl Client {
    fn is_here(&self) -> bool {
        let is_here =
            Command::new(self.program).arg("--version").output().is_ok_and(|out| out.status.success());
        if !is_here {
            eprintln!("skipped: there is no {} on this machine", self.program);
        }
        is_here
    }

    fn command(&self, agent: &str, folder: &Path) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients").join(self.script);
        let mut command = Command::new(self.program);
        command.arg(script).args([
            "--agent",
            agent,
            "--token-file",
            "till.token",
            "--outbox",
            "outbox.ndjson",
        ]);
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Tries once.
    fn run(&self, agent: &str, folder: &Path, documents: &str) -> Output {
        let mut child = self.command(agent, folder).arg("--once").spawn().unwrap();
        child.stdin.take().unwrap().write_all(documents.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

fn sale(reference: &str, quantity: &str) -> String {
    format!(
        "{{\"source\":\"till-3\",\"reference\":\"{reference}\",\"kind\":\"sale\",\"occurred_at\":\"2026-10-31T17:03:22Z\",\"lines\":[{{\"sku\":\"4011\",\"quantity\":{quantity}}}]}}\n"
    )
}

fn till(token: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("till.token"), format!("{token}\n")).unwrap();
    let outbox = folder.path().join("outbox.ndjson");
    (folder, outbox)
}

fn waiting(outbox: &Path) -> usize {
    std::fs::read_to_string(outbox).unwrap().lines().count()
}

#[test]
fn a_till_without_an_agent_keeps_its_sales_and_sends_them_once_there_is_one() {
    for client in CLIENTS.iter().filter(|client| client.is_here()) {
        let mut shop = Shop::open();
        let (folder, outbox) = till(TILL_3);
        let old = format!("http://{}", shop.address());
        shop.stop();
        let out = client.run(&old, folder.path(), &(sale("1", "1.235") + &sale("2", "2")));
        assert!(!out.status.success() && waiting(&outbox) == 2, "{out:?}");
        shop.start();
        let agent = format!("http://{}", shop.address());
        let out = client.run(&agent, folder.path(), &sale("3", "0.5"));
        assert!(out.status.success() && waiting(&outbox) == 0, "{out:?}");
        assert_eq!(shop.on_hand("4011"), "-3.735", "{}", client.script);
    }
}

#[test]
fn a_sale_whose_answer_was_lost_is_sent_again_and_counts_once() {
    for client in CLIENTS.iter().filter(|client| client.is_here()) {
        let shop = Shop::open();
        let agent = format!("http://{}", shop.address());
        let (folder, outbox) = till(TILL_3);
        assert!(client.run(&agent, folder.path(), &sale("1", "1")).status.success());
        // As it lies there after a crash between the answer and the outbox; and a line that a power cut has torn.
        std::fs::write(&outbox, sale("1", "1") + "{\"source\":\"till-3\",\"refe").unwrap();
        let out = client.run(&agent, folder.path(), &sale("2", "1"));
        assert!(out.status.success() && waiting(&outbox) == 0, "{out:?}");
        assert_eq!(shop.on_hand("4011"), "-2", "{}", client.script);
        let refused = std::fs::read_to_string(folder.path().join("outbox.ndjson.refused")).unwrap();
        assert!(refused.lines().count() == 1 && refused.contains("refe"), "{refused}");
    }
}

#[test]
fn what_is_refused_for_good_holds_nothing_up_and_a_wrong_token_loses_nothing() {
    for client in CLIENTS.iter().filter(|client| client.is_here()) {
        let shop = Shop::open();
        let agent = format!("http://{}", shop.address());
        let (folder, outbox) = till("a-token-of-nobody-at-all");
        let documents = sale("1", "1.00001") + &sale("2", "1");
        let out = client.run(&agent, folder.path(), &documents);
        assert!(!out.status.success() && waiting(&outbox) == 2, "{out:?}");
        assert!(!String::from_utf8_lossy(&out.stderr).contains("token-of-nobody"), "{out:?}");
        std::fs::write(folder.path().join("till.token"), TILL_3).unwrap();
        let out = client.run(&agent, folder.path(), "");
        assert!(out.status.success() && waiting(&outbox) == 0, "{out:?}");
        assert_eq!(shop.on_hand("4011"), "-1", "{}", client.script);
        let refused = std::fs::read_to_string(folder.path().join("outbox.ndjson.refused")).unwrap();
        assert!(refused.contains("lines[0].quantity"), "{refused}");
    }
}

#[test]
fn a_waiting_till_goes_on_by_itself_when_the_agent_takes_documents() {
    for client in CLIENTS.iter().filter(|client| client.is_here()) {
        let shop = Shop::open();
        let agent = format!("http://{}", shop.address());
        let (folder, outbox) = till("a-token-of-nobody-at-all");
        let mut child = client.command(&agent, folder.path()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sale("1", "1").as_bytes()).unwrap();
        until("the sale is in the outbox", || outbox.exists() && waiting(&outbox) == 1);
        std::fs::write(folder.path().join("till.token"), TILL_3).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success() && waiting(&outbox) == 0, "{out:?}");
        assert_eq!(shop.on_hand("4011"), "-1", "{}", client.script);
    }
}
