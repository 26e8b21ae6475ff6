//! The agent: its program, its health, what waits to be sent, its certificate and its database.

use super::Finding;
use crate::clock::rfc3339;
use crate::fault::{Code, Fault};
use crate::identity::Held;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use sync_protocol::UnixMillis;

/// A store sells as much in a day or two.
const MOVEMENTS_MANY: u64 = 20_000;

/// The program that is installed, and the one that runs.
#[must_use]
pub fn judge_version(installed: Result<&str, &Fault>, health: Option<&Value>) -> Finding {
    let running = health.and_then(|health| health["version"].as_str());
    match (installed, running) {
        (Err(fault), _) => Finding::bad("program", fault.code, fault.story()),
        (Ok(installed), Some(running)) if installed != running => {
            let says =
                format!("{installed} is installed and {running} runs; the agent was not started again");
            Finding::note("program", Code::E504, says)
        }
        (Ok(installed), _) => Finding::good("program", format!("store-agent {installed}")),
    }
}

/// `/healthz`, or why there was no answer.
#[must_use]
pub fn judge_health(health: Result<&Value, &Fault>) -> Finding {
    match health {
        Err(fault) => Finding::bad("agent", fault.code, fault.story()),
        Ok(health) if health["status"] == "ok" => Finding::good("agent", "takes what the tills report"),
        Ok(health) => Finding::bad(
            "agent",
            Code::E504,
            health["reason"].as_str().unwrap_or("it does not say why").to_owned(),
        ),
    }
}

/// `/v1/sync`: the link and what waits.
#[must_use]
pub fn judge_backlog(sync: &Value) -> Finding {
    let count = |of: &str| sync["backlog"][of].as_u64().unwrap_or(0);
    let (records, movements) = (count("records"), count("movements"));
    let link = sync["link"].as_str().unwrap_or("unknown");
    let why = sync["last_link_error"]["reason"]
        .as_str()
        .map(|why| format!("; last error: {why}"))
        .unwrap_or_default();
    let says = format!("the link is {link}; {records} records and {movements} movements wait{why}");
    match link {
        "streaming" if movements < MOVEMENTS_MANY => Finding::good("link", says),
        "off" => Finding::good("link", "this store works without a hub"),
        _ => Finding::note("link", Code::E507, says),
    }
}

/// The certificate's age.
#[must_use]
pub fn judge_certificate(held: Option<&Held>, renew_after: UnixMillis, now: UnixMillis) -> Finding {
    let Some(held) = held else {
        return Finding::unknown("certificate", "this store is not enrolled");
    };
    let until = rfc3339(held.until);
    match () {
        () if !held.fits => Finding::bad("certificate", Code::E603, "certificate and key do not go together"),
        () if now >= held.until => Finding::bad("certificate", Code::E602, format!("it ended at {until}")),
        // The timer has a few days to do it in.
        () if now.0.saturating_sub(renew_after.0) > 3 * 86_400_000 => {
            Finding::note("certificate", Code::E601, format!("it ends at {until}"))
        }
        () => Finding::good("certificate", format!("store {}, good until {until}", held.store)),
    }
}

/// What SQLite says of the database; `None` where there is none.
#[must_use]
pub fn look_at_database(path: &Path) -> Option<Result<String, String>> {
    if !path.exists() {
        return None;
    }
    // Root's side files get the owner of the database from SQLite itself.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let ask = || {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    Some(ask().map_err(|error: rusqlite::Error| error.to_string()))
}

#[must_use]
pub fn judge_database(looked: Option<&Result<String, String>>) -> Finding {
    match looked {
        None => Finding::unknown("database", "there is none yet"),
        Some(Ok(word)) if word == "ok" => Finding::good("database", "it is sound"),
        Some(Ok(finding) | Err(finding)) => Finding::bad("database", Code::E506, finding.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Verdict;
    use serde_json::json;

    #[test]
    fn an_agent_that_can_not_record_is_bad_and_one_that_is_cut_off_is_not() {
        assert_eq!(judge_health(Ok(&json!({"status": "ok"}))).verdict, Verdict::Good);
        let ill = judge_health(Ok(&json!({"status": "failing", "reason": "disk full"})));
        assert!(ill.verdict == Verdict::Bad && ill.says == "disk full");
        assert_eq!(judge_health(Err(&Fault::new(Code::E504, "nobody there"))).code, Some("E504"));
        let down = json!({"link": "down", "backlog": {"records": 2, "movements": 9}, "last_link_error": {"reason": "no route"}});
        let found = judge_backlog(&down);
        assert!(
            found.verdict == Verdict::Note
                && found.says.contains("9 movements")
                && found.says.contains("no route")
        );
        assert_eq!(judge_backlog(&json!({"link": "streaming"})).verdict, Verdict::Good);
    }

    #[test]
    fn a_certificate_is_judged_by_its_age() {
        let day = 86_400_000;
        let held = Held {
            store: "S1".parse().unwrap(),
            since: UnixMillis(0),
            until: UnixMillis(60 * day),
            fits: true,
        };
        let at = |days: i64| judge_certificate(Some(&held), UnixMillis(40 * day), UnixMillis(days * day));
        let verdicts = [at(39).verdict, at(42).verdict, at(44).verdict, at(60).verdict];
        assert_eq!(verdicts, [Verdict::Good, Verdict::Good, Verdict::Note, Verdict::Bad]);
        let odd = Held { fits: false, ..held };
        assert_eq!(judge_certificate(Some(&odd), UnixMillis(0), UnixMillis(0)).code, Some("E603"));
    }

    #[test]
    fn a_damaged_database_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        assert_eq!(judge_database(look_at_database(&path).as_ref()).verdict, Verdict::Unknown);
        std::fs::write(&path, vec![7; 8192]).unwrap();
        assert_eq!(judge_database(look_at_database(&path).as_ref()).code, Some("E506"));
        std::fs::remove_file(&path).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert_eq!(judge_database(look_at_database(&path).as_ref()).verdict, Verdict::Good);
    }

    #[test]
    fn a_program_that_was_replaced_under_a_running_agent_is_noticed() {
        let old = json!({"version": "0.1.0"});
        assert_eq!(judge_version(Ok("0.2.0"), Some(&old)).verdict, Verdict::Note);
        assert_eq!(judge_version(Ok("0.1.0"), Some(&old)).verdict, Verdict::Good);
        assert_eq!(judge_version(Ok("0.1.0"), None).verdict, Verdict::Good);
    }
}
