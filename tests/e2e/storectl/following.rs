//! Stores that follow head office: one ring after the other, until something fails; and what they do when nobody can be asked.

use super::interrupted::kill_at;
use super::upgrading::lasting_address;
use super::{Office, Server};
use crate::harness::{Press, Spec, Supervisor, Web, eventually};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Head office with a hub, releases on a web server, and nobody near the stores.
pub(super) struct Chain {
    pub(super) office: Office,
    pub(super) press: Press,
}

/// A store server on which somebody starts the agent again whenever it ends.
struct Branch {
    server: Server,
    supervisor: Supervisor,
}

impl Chain {
    pub(super) fn open(name: &str) -> Chain {
        // Stores find it again after it was away.
        let office = Office::at(name, &lasting_address().to_string());
        let press = Press::open(&office.scene, "head-office", &office.agent);
        Chain { office, press }
    }

    /// The folder with one release, on a web server.
    fn publishes(&self, release: &Path) -> Web {
        let name = release.file_name().and_then(|name| name.to_str()).expect("a release has a name");
        Web::open(release, self.office.scene.join(&format!("{name}-ca.pem")))
    }

    pub(super) fn release(&self, version: &'static str, sequence: u64) -> Web {
        self.publishes(&self.press.release(&format!("release-{sequence}"), &Spec::of(version, sequence)))
    }

    /// A release whose agent says what an agent says, and does not run.
    fn bad_release(&self, version: &'static str, sequence: u64) -> Web {
        let spec = Spec::scripted(version, sequence, &self.office.agent, 5, "exit 1");
        self.publishes(&self.press.release(&format!("release-{sequence}"), &spec))
    }

    pub(super) fn starts(&self, version: &str, sequence: u64, web: &Web) {
        let (sequence, from) = (sequence.to_string(), format!("https://{}", web.address));
        let more = [version, "--sequence", &sequence, "--from", &from, "--soak", "0"];
        self.says("start", &more);
    }

    /// What `cloud-hub rollout …` answers.
    fn says(&self, word: &str, more: &[&str]) -> String {
        let output = self.office.hub.run(&["rollout", word], more);
        String::from_utf8(output.stdout).expect("what is said is text")
    }

    pub(super) fn status(&self) -> Value {
        serde_json::from_str(&self.says("status", &["--json"])).expect("the status is JSON")
    }

    #[track_caller]
    pub(super) fn shows(&self, store: &str, standing: &str) {
        let status = self.status();
        let stores = status["stores"].as_array().expect("it lists stores");
        let found = stores.iter().find(|row| row["store"] == store).expect("the store is listed");
        assert_eq!(found["standing"], standing, "{status:#}");
    }

    /// An enrolled store that trusts head office's releases, its agent running.
    fn branch(&self, store: &str, web: &Web) -> Branch {
        let (server, token) = self.office.bare(store);
        server.ends(0, &self.office.install(store, &token));
        let branch = Branch::of(server);
        fs::write(branch.server.path("etc/shopsmart/release-roots.pub"), self.press.roots())
            .expect("a file can be written");
        branch.behaves(web, "");
        branch.is_version(env!("CARGO_PKG_VERSION"));
        branch
    }
}

impl Branch {
    fn of(server: Server) -> Branch {
        let config = server.path("etc/shopsmart/agent.toml");
        let (program, log) = (server.path("opt/shopsmart/bin/store-agent"), server.path("agent.log"));
        let args = ["run", "--config", config.to_str().expect("a path is text")];
        Branch { supervisor: Supervisor::start(&program, &args, &log), server }
    }

    /// Each web server of the tests has an authority of its own.
    fn behaves(&self, web: &Web, more: &str) {
        let text = format!("[upgrade]\nca = \"{}\"\n{more}", web.authority.display());
        fs::write(self.server.path("etc/shopsmart/storectl.toml"), text).expect("a file can be written");
    }

    /// What the timer runs.
    fn follow(&self) -> Vec<String> {
        let words = ["upgrade", "--auto", "--trial", "1", "--restart-with"].map(str::to_owned);
        words.into_iter().chain([self.supervisor.restart_command()]).collect()
    }

    #[track_caller]
    fn follows(&self, code: i32, words: &str) {
        let said = self.server.ends(code, &self.follow());
        assert!(said.contains(words), "{said}");
    }

    #[track_caller]
    fn is_version(&self, version: &str) {
        eventually(&format!("an agent {version} that is well"), || {
            let file = self.server.path("var/lib/shopsmart/agent/addresses.json");
            fs::read(file).map_err(|error| error.to_string())?;
            let reply = self.server.client().get("/healthz").map_err(|error| error.to_string())?;
            let health = reply.json();
            let is_well = health["status"] == "ok" && health["version"] == version;
            if is_well { Ok(()) } else { Err(health.to_string()) }
        });
    }
}

#[test]
fn rings_go_one_after_the_other_and_what_is_bad_stops_at_the_first() {
    let chain = Chain::open("follow-rings");
    let web = chain.release("0.1.7", 7);
    let [pilot, early, other] = ["S0001", "S0002", "S0003"].map(|store| chain.branch(store, &web));
    let rings = chain.says("rings", &["--set", "pilot=S0001", "--set", "early=S0002"]);
    assert!(rings.ends_with("3. everyone else: S0003\n"), "{rings}");
    pilot.follows(0, "wishes nothing else");

    chain.starts("0.1.7", 7, &web);
    for waiting in [&early, &other] {
        waiting.follows(0, "wishes nothing else");
    }
    assert!(web.asked().is_empty());
    let foreseen = pilot.server.ends(3, &[pilot.follow(), vec!["--dry-run".to_owned()]].concat());
    assert!(foreseen.contains("0.1.7 (number 7) takes the place of 0.1.0"), "{foreseen}");
    pilot.follows(0, "store-agent 0.1.7 is in force");
    pilot.is_version("0.1.7");
    chain.shows("S0001", "done");
    other.follows(0, "wishes nothing else");
    early.follows(0, "store-agent 0.1.7 is in force");
    other.follows(0, "store-agent 0.1.7 is in force");
    chain.shows("S0003", "done");
    let listed = chain.office.hub.run(&["store", "list"], &[]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).matches("agent 0.1.7").count(), 3);

    // What does not run in the first store never comes to the others.
    let bad = chain.bad_release("0.2.1", 8);
    [&pilot, &early, &other].iter().for_each(|branch| branch.behaves(&bad, ""));
    chain.starts("0.2.1", 8, &bad);
    pilot.follows(1, "E809");
    pilot.is_version("0.1.7");
    chain.shows("S0001", "failed");
    let status = chain.status();
    assert_eq!(status["rollout"]["stage"], "halted", "{status:#}");
    assert!(status["rollout"]["why"].as_str().unwrap().starts_with("S0001 E809 "), "{status:#}");
    eventually("the hub to sound the alarm", || {
        let client = chain.office.hub.client();
        let halted = client.metric("shopsmart_hub_rollout_halted");
        let failed = client.metric("shopsmart_hub_rollout_stores{standing=\"failed\"}");
        if (halted, failed) == (1.0, 1.0) { Ok(()) } else { Err(format!("{halted} {failed}")) }
    });
    for branch in [&pilot, &early, &other] {
        branch.follows(0, "wishes nothing else");
    }
    let told = pilot.server.ends(0, &["status"]);
    assert!(told.contains("head office wishes release 8, which failed: E809"), "{told}");

    // Head office goes on, and has it tried once more: it is as bad as before.
    chain.says("resume", &[]);
    pilot.follows(0, "wishes nothing else");
    chain.says("retry", &["S0001"]);
    pilot.follows(1, "E809");
    assert_eq!(chain.status()["rollout"]["stage"], "halted");

    // The next one mends it.
    let good = chain.release("0.2.2", 9);
    pilot.behaves(&good, "");
    chain.starts("0.2.2", 9, &good);
    pilot.follows(0, "store-agent 0.2.2 is in force");
    chain.shows("S0001", "done");
    // Somebody in the store finds that it is not: they go back, and it stays so.
    let back = ["rollback", "--trial", "1", "--restart-with", &pilot.supervisor.restart_command()];
    pilot.server.ends(0, &back);
    pilot.follows(0, "wishes nothing else");
    pilot.is_version("0.1.7");
    let status = chain.status();
    assert!(status["rollout"]["why"].as_str().unwrap().contains("gone back to `0.1.7`"), "{status:#}");
}

#[test]
fn a_store_that_can_ask_nobody_or_is_cut_off_in_the_middle_goes_on_and_tells_it_later() {
    let mut chain = Chain::open("follow-alone");
    let web = chain.release("0.1.7", 7);
    let branch = chain.branch("S0001", &web);
    chain.starts("0.1.7", 7, &web);
    chain.says("pause", &[]);
    branch.follows(0, "wishes nothing else");
    chain.says("resume", &[]);
    chain.says("pin", &["S0001"]);
    branch.follows(0, "wishes nothing else");
    chain.shows("S0001", "pinned");
    chain.says("unpin", &["S0001"]);

    // Outside of the window nothing is even downloaded, and head office sees why it waits.
    let hour = (seconds_of_the_day() / 3600 + 2) % 24;
    branch.behaves(&web, &format!("window = \"{hour:02}:00-{hour:02}:01\"\n"));
    branch.follows(0, "release 7 waits: E807");
    assert!(web.asked().is_empty());
    chain.shows("S0001", "waiting");
    let status = chain.says("status", &[]);
    assert!(status.contains("of number 7: E807 the agent is started anew in the window"), "{status}");
    branch.behaves(&web, "");

    for point in ["wished", "switched"] {
        kill_at(&branch.server, &branch.follow(), point);
        chain.office.hub.stop();
        branch.follows(0, "can't be asked");
        chain.office.hub.start();
    }
    branch.is_version("0.1.7");
    branch.follows(0, "wishes nothing else");
    chain.shows("S0001", "done");
}

#[test]
fn what_is_not_the_release_that_was_wished_is_not_taken() {
    let chain = Chain::open("follow-other");
    let web = chain.release("0.1.7", 7);
    let branch = chain.branch("S0001", &web);
    chain.starts("0.1.9", 9, &web);
    branch.follows(1, "number 7 lies there, and number 9 is wished");
    chain.shows("S0001", "failed");
    assert!(chain.says("status", &[]).contains("E814"));

    let stranger = Press::open(&chain.office.scene, "stranger", &chain.office.agent);
    let forged = chain.publishes(&stranger.release("forged-10", &Spec::of("0.2.0", 10)));
    branch.behaves(&forged, "");
    chain.starts("0.2.0", 10, &forged);
    branch.follows(1, "E802");
    chain.shows("S0001", "failed");
    let old = Spec { expires: "2020-01-01T00:00:00Z", ..Spec::of("0.2.1", 11) };
    let old = chain.publishes(&chain.press.release("old-11", &old));
    branch.behaves(&old, "");
    chain.says("resume", &[]);
    chain.says("pin", &["S0001", "--sequence", "11", "--from", &format!("https://{}", old.address)]);
    branch.follows(1, "E804");
    branch.follows(0, "wishes nothing else");
    branch.is_version("0.1.0");

    // A web server that is away is no failure of the release.
    drop(web);
    let nowhere = "https://127.0.0.1:1/away";
    chain.says("pin", &["S0001", "--sequence", "12", "--from", nowhere]);
    branch.follows(0, "release 12 waits: E302");
    chain.shows("S0001", "pinned");

    // A package looks after the programs here from now on.
    let packaged = branch.server.path("usr/bin/store-agent");
    fs::create_dir_all(packaged.parent().unwrap()).unwrap();
    fs::copy(&chain.office.agent, &packaged).unwrap();
    branch.follows(0, "a package looks after");
    chain.says("unpin", &["S0001"]);
    chain.shows("S0001", "packaged");
}

/// By the clock that storectl goes by.
fn seconds_of_the_day() -> u64 {
    let said = std::process::Command::new("date").arg("+%H %M").output().expect("coreutils are there");
    let text = String::from_utf8(said.stdout).expect("a time is text");
    let mut parts = text.split_whitespace().map(|part| part.parse::<u64>().expect("a number"));
    parts.next().expect("hours") * 3600 + parts.next().expect("minutes") * 60
}
