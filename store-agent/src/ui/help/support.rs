//! What somebody who calls for help copies: the state in English, for whoever answers, without anything of a person's or a place's.

use super::findings::Finding;
use crate::config::Language;
use crate::store::reader::SourceSeen;
use crate::ui::PageDesk;
use crate::ui::texts::help as texts;
use crate::ui::words::Words;
use crate::version::version;
use maud::{Markup, html};
use std::fmt::Write;

pub fn block(desk: &PageDesk, words: &Words<'_>, findings: &[Finding], sources: &[SourceSeen]) -> Markup {
    html! {
        section.panel aria-labelledby="support" {
            h2 #support { (words.say(texts::SUPPORT)) }
            p.hint { (words.say(texts::SUPPORT_WHY)) }
            textarea #support-text readonly rows="10" aria-labelledby="support" { (text(desk, words, findings, sources)) }
            div.buttons {
                button type="button" data-copy="support-text" data-copied=(words.say(texts::COPIED)) { (words.say(texts::COPY)) }
            }
        }
    }
}

fn text(desk: &PageDesk, words: &Words<'_>, findings: &[Finding], sources: &[SourceSeen]) -> String {
    let sync = desk.bulletin.borrow().sync.clone();
    let crossing = desk.crossing.borrow().clone();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing into a text can't fail.
        let _ = writeln!(text, "{name}: {value}");
    };
    line("version", version().to_owned());
    line("store", desk.store.to_string());
    line("now", words.machine(words.now));
    line("started", words.machine(desk.started_at));
    line("link", if desk.has_hub { sync.link.name() } else { "off" }.to_owned());
    line("transport", crossing.transport.map_or("none", crate::inbox::Transport::name).to_owned());
    line("switches", crossing.switches.to_string());
    line("epoch", sync.epoch.to_string());
    line(
        "state",
        format!("{} acked of {}, {} pending", sync.state_acked, sync.state_head, sync.records_pending),
    );
    line("history", format!("{} acked of {}", sync.history_acked, sync.history_head));
    line("items", sync.items.to_string());
    line("quarantined", sync.quarantined.to_string());
    line("digest mismatches", sync.digest_mismatches.to_string());
    line("failed commits", sync.failed_commits.to_string());
    line("hub clock ahead, ms", sync.hub_clock_ahead_ms.map_or("unknown".to_owned(), |ms| ms.to_string()));
    for (name, mishap) in
        [("last link error", sync.last_link_error), ("last disk error", sync.last_disk_error)]
    {
        if let Some((at, reason)) = mishap {
            line(name, format!("{} {}", words.machine(at), redacted(&reason)));
        }
    }
    line("sources", sources.len().to_string());
    for finding in findings {
        line(Language::English.say(finding.name), format!("{:?}", finding.health));
    }
    text
}

/// Without what names machines and folders: words with a dot or colon inside, or a slash.
fn redacted(text: &str) -> String {
    let is_named = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '/' | ':'));
        word.contains(['/', '@', '\\']) || word.trim_end_matches(':').contains([':', '.'])
    };
    let words: Vec<&str> =
        text.split_whitespace().map(|word| if is_named(word) { "[…]" } else { word }).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_folders_do_not_leave_the_store() {
        let told = redacted(
            "could not reach hub.example.com:7443 (10.0.0.7): open /var/lib/shop/agent.db failed. Timed out",
        );
        for secret in ["example", "10.0", "7443", "/var", "agent.db"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert!(told.starts_with("could not reach") && told.ends_with("failed. Timed out"), "{told}");
    }
}
