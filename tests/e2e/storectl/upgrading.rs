//! Signed releases in the place of what runs, with tills at work; and back, by itself or because somebody says so.

use super::interrupted::kill_at;
use super::{Server, small_agent};
use crate::harness::{
    Client, Ledger, Press, Scene, Spec, Stopwatch, Supervisor, TOKEN, Till, Transport, Web, at_work,
    eventually, pause,
};
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BOOKS: &str = "var/lib/shopsmart/upgrade/books.json";
/// What the tills may have to wait.
const WITHOUT_SERVICE_MAX: Duration = Duration::from_secs(5);

/// Head office, and what it has built.
struct Works {
    scene: Scene,
    agent: PathBuf,
    press: Press,
}

/// A store server on which somebody starts the agent again whenever it ends.
struct Shop {
    supervisor: Supervisor,
    server: Server,
    address: SocketAddr,
    /// Each shift's tills have names of their own, since each begins to number its baskets anew.
    shifts: AtomicU16,
}

impl Works {
    fn open(name: &str) -> Works {
        let scene = Scene::over(Transport::Quic, name);
        let agent = small_agent(&scene);
        let press = Press::open(&scene, "head-office", &agent);
        Works { scene, agent, press }
    }

    fn release(&self, version: &'static str, sequence: u64) -> PathBuf {
        self.press.release(&format!("release-{sequence}"), &Spec::of(version, sequence))
    }

    /// A release whose agent is this script. It says of itself what an agent says; `run` is the caller's.
    fn scripted(&self, version: &'static str, sequence: u64, oldest: u64, run: &str) -> PathBuf {
        let spec = Spec::scripted(version, sequence, &self.agent, oldest, run);
        self.press.release(&format!("release-{sequence}"), &spec)
    }

    /// An installed store without a hub, its agent running, head office's root key known.
    fn shop(&self, name: &str) -> Shop {
        let root = self.scene.join(&format!("root-{name}"));
        fs::create_dir_all(root.join("etc")).expect("the ground of a test holds");
        fs::write(root.join("etc/machine-id"), "00000000000000000000000000000007\n")
            .expect("the ground of a test holds");
        let server = Server { root, agent: None, references: 0, days_ahead: 0 };
        // The tills are told one address for ever, so the agent has to have one.
        let address = lasting_address();
        let listen = address.to_string();
        let agent = self.agent.to_str().expect("the ground of a test holds");
        let install = ["install", "--store", "S0042", "--without-hub", "--listen", &listen, "--agent", agent];
        server.ends(0, &[&install[..], &["--page-listen", "127.0.0.1:0"]].concat());
        fs::write(server.path("etc/shopsmart/release-roots.pub"), self.press.roots())
            .expect("the ground of a test holds");
        let tokens = server.path("etc/shopsmart/tokens");
        fs::write(
            &tokens,
            format!("{}* {TOKEN}\n", fs::read_to_string(&tokens).expect("the ground of a test holds")),
        )
        .expect("the ground of a test holds");
        let config = server.path("etc/shopsmart/agent.toml");
        let (program, log) = (server.path("opt/shopsmart/bin/store-agent"), server.path("agent.log"));
        let supervisor = Supervisor::start(
            &program,
            &["run", "--config", config.to_str().expect("the ground of a test holds")],
            &log,
        );
        let shop = Shop { supervisor, server, address, shifts: AtomicU16::new(0) };
        shop.is_version(env!("CARGO_PKG_VERSION"));
        shop
    }
}

/// An address that an agent can have again and again: below the ports that the system gives to whoever asks for any.
pub(super) fn lasting_address() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Other tests of the same kind may run beside these.
    let start = u16::try_from(std::process::id() % 9_000).expect("the ground of a test holds");
    loop {
        let port = 20_000 + (start + TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Shop {
    /// What a person types to upgrade, with a short trial.
    fn upgrade(&self, release: &Path) -> Vec<String> {
        self.command(&["upgrade", "--from", release.to_str().expect("the ground of a test holds")])
    }

    fn command(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().copied().chain(["--trial", "1", "--restart-with"]).map(str::to_owned);
        words.chain([self.supervisor.restart_command()]).collect()
    }

    /// The running agent is well and says that it is this version.
    #[track_caller]
    fn is_version(&self, version: &str) {
        eventually(&format!("an agent {version} that is well"), || {
            let health = self.health()?;
            if health["status"] == "ok" && health["version"] == version {
                Ok(())
            } else {
                Err(health.to_string())
            }
        });
    }

    fn health(&self) -> Result<Value, String> {
        let reply = self.client().get("/healthz").map_err(|error| error.to_string())?;
        serde_json::from_str(&reply.body).map_err(|error| error.to_string())
    }

    fn client(&self) -> Client {
        Client::new(self.address, TOKEN)
    }

    fn boot(&self) -> String {
        self.health().expect("the ground of a test holds")["boot"]
            .as_str()
            .expect("the ground of a test holds")
            .to_owned()
    }

    fn till(&self, name: &str) -> Till {
        Till::new(name, Arc::new(Mutex::new(self.address))).unhurried()
    }

    /// Tills sell while `disaster` strikes; nothing of what was answered is missing afterwards, and nobody waited longer than this.
    fn sells_while(&self, disaster: impl FnOnce()) -> Duration {
        let names = [1, 2]
            .map(|till| format!("till-{till}-of-shift-{}", self.shifts.fetch_add(1, Ordering::Relaxed)));
        let longest = Mutex::new(Duration::ZERO);
        let [tills] = at_work([names.iter().map(|name| self.till(name)).collect()], || {
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    *longest.lock().expect("the ground of a test holds") = self.longest_silence(&done)
                });
                disaster();
                // A few more baskets after it.
                pause(300);
                done.store(true, Ordering::Relaxed);
            });
        });
        self.kept(&tills);
        longest.into_inner().expect("the ground of a test holds")
    }

    #[track_caller]
    fn kept(&self, tills: &[Till]) {
        let ledger = Ledger::read(&self.client());
        for till in tills {
            assert!(till.answered() > 10, "only {} baskets: too few to prove anything", till.answered());
            ledger.agrees_with(till);
            till.is_remembered();
        }
    }

    /// The longest time in which no sale could be recorded.
    fn longest_silence(&self, done: &AtomicBool) -> Duration {
        let client = self.client();
        let shift = self.shifts.fetch_add(1, Ordering::Relaxed);
        let (mut longest, mut number, mut last) = (Duration::ZERO, 0, Stopwatch::started());
        while !done.load(Ordering::Relaxed) {
            let body = json!({
                "source": "till-probe", "reference": format!("{shift}-{number}"), "kind": "sale",
                "occurred_at": "2026-10-31T17:03:22-04:00", "lines": [{ "sku": "probe", "quantity": 1 }],
            });
            if client.post("/v1/movements", &body).is_ok_and(|reply| matches!(reply.status, 200 | 201)) {
                longest = longest.max(last.elapsed());
                (number, last) = (number + 1, Stopwatch::started());
            }
            pause(5);
        }
        longest
    }
}

#[test]
fn an_upgrade_with_tills_at_work_loses_nothing_and_they_hardly_wait() {
    let works = Works::open("upgrade-sales");
    let shop = works.shop("S0042");
    let release = works.release("0.1.7", 7);
    let foreseen = shop.server.ends(3, &[shop.upgrade(&release), vec!["--dry-run".to_owned()]].concat());
    assert!(foreseen.contains("0.1.7 (number 7) takes the place of 0.1.0"), "{foreseen}");

    let waited = shop.sells_while(|| {
        let said = shop.server.ends(0, &shop.upgrade(&works.press.bundle(&release)));
        assert!(said.contains("store-agent 0.1.7 is in force"), "{said}");
    });
    println!("longest time without service: {waited:?}");
    assert!(waited < WITHOUT_SERVICE_MAX, "{waited:?}");
    shop.is_version("0.1.7");
    assert!(shop.server.ends(0, &shop.upgrade(&release)).contains("in force already"));
    assert!(shop.server.ends(0, &["doctor"]).contains("upgrade: to `0.1.7`"));

    // What was seen here before does not come back, however well it is signed.
    let older = shop.server.ends(5, &shop.upgrade(&works.release("0.1.5", 5)));
    assert!(older.contains("E805"), "{older}");
    let same = shop.server.ends(5, &shop.upgrade(&works.press.release("other-7", &Spec::of("0.1.8", 7))));
    assert!(same.contains("E805"), "{same}");

    let back = shop.sells_while(|| drop(shop.server.ends(0, &shop.command(&["rollback"]))));
    assert!(back < WITHOUT_SERVICE_MAX, "{back:?}");
    shop.is_version("0.1.0");
    // Somebody who went back may go on again, and from there to the next.
    shop.server.ends(0, &shop.upgrade(&release));
    shop.server.ends(0, &shop.upgrade(&works.release("0.1.8", 8)));
    shop.is_version("0.1.8");
    let kept: Vec<String> = fs::read_dir(shop.server.path("opt/shopsmart/releases"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    // Whoever runs `install` finds these programs as they should be.
    assert!(shop.server.ends(0, &["install"]).contains("as it is   program"));
}

#[test]
fn the_same_version_signed_anew_changes_nothing_and_leaves_the_way_back() {
    let works = Works::open("upgrade-anew");
    let shop = works.shop("S0042");
    shop.server.ends(0, &shop.upgrade(&works.release("0.1.7", 7)));
    let boot = shop.boot();
    let anew = works.release("0.1.7", 8);
    assert!(shop.server.ends(0, &shop.upgrade(&anew)).contains("in force already"));
    assert!(shop.server.ends(5, &shop.upgrade(&works.release("0.1.6", 7))).contains("E805"));
    assert_eq!(shop.boot(), boot);
    shop.server.ends(0, &shop.command(&["rollback"]));
    shop.is_version("0.1.0");

    // Somebody brings a program by hand: what runs is that, and nothing is left to go back to but itself.
    let given = works.press.release("by-hand", &Spec::of("0.1.9", 9)).join(agent_file());
    shop.server.ends(0, &shop.upgrade(&anew));
    shop.server.ends(0, &["install", "--agent", given.to_str().unwrap()]);
    assert_eq!(
        fs::read(shop.server.path("opt/shopsmart/bin/store-agent")).unwrap(),
        fs::read(&given).unwrap()
    );
    assert!(shop.server.ends(1, &shop.command(&["rollback"])).contains("E811"));
}

#[test]
fn what_head_office_makes_by_its_own_command_is_a_release() {
    let works = Works::open("upgrade-xtask");
    let shop = works.shop("S0042");
    let said = shop.server.ends(0, &shop.upgrade(&works.press.bundle_by_xtask(3)));
    assert!(said.contains("store-agent 0.1.0 is in force"), "{said}");
    let link = fs::read_link(shop.server.path("opt/shopsmart/current")).unwrap();
    assert_eq!(link, Path::new("releases/0.1.0"));
}

#[test]
fn a_new_version_that_is_not_well_is_taken_back_by_itself_and_nothing_sold_is_lost() {
    let works = Works::open("upgrade-bad");
    let shop = works.shop("S0042");
    for (number, (version, run)) in [("0.2.1", "exit 1"), ("0.2.2", "exec sleep 600")].into_iter().enumerate()
    {
        let release = works.scripted(version, 10 + number as u64, 5, run);
        let waited = shop.sells_while(|| {
            let said = shop.server.ends(1, &shop.upgrade(&release));
            assert!(said.contains("E809") && said.contains("does not keep running"), "{said}");
        });
        println!("{version}: longest time without service: {waited:?}");
        shop.is_version("0.1.0");
        let doctor = shop.server.ends(0, &["doctor"]);
        assert!(doctor.contains("[E809]") && doctor.contains(version), "{doctor}");
    }
    // A bad one stands in nobody's way.
    shop.server.ends(0, &shop.upgrade(&works.release("0.1.7", 12)));
    shop.is_version("0.1.7");
}

#[test]
fn killed_at_any_point_and_run_again_it_comes_to_the_same_end() {
    let works = Works::open("upgrade-killed");
    let release = works.release("0.1.7", 7);
    let wanted = {
        let shop = works.shop("S0000");
        shop.server.ends(0, &shop.upgrade(&release));
        programs(&shop.server)
    };
    for point in
        ["adopted", "unpacked", "snapshot", "begun", "switched", "trial", "restarted", "stood", "ended"]
    {
        let shop = works.shop(point);
        let [tills] = at_work([vec![shop.till("till-1")]], || {
            kill_at(&shop.server, &shop.upgrade(&release), point);
            shop.server.ends(0, &shop.upgrade(&release));
            pause(300);
        });
        shop.is_version("0.1.7");
        shop.kept(&tills);
        assert_eq!(programs(&shop.server), wanted, "after a kill at {point}");
        assert!(shop.server.ends(0, &shop.upgrade(&release)).contains("in force already"), "{point}");
    }
}

#[test]
fn killed_on_the_way_back_it_comes_back_all_the_same() {
    let works = Works::open("upgrade-back-killed");
    let release = works.scripted("0.2.1", 9, 5, "exit 1");
    for point in ["going-back", "switched-back", "back", "restarted-back", "ended"] {
        let shop = works.shop(point);
        let before = programs(&shop.server);
        kill_at(&shop.server, &shop.upgrade(&release), point);
        let books: Value = serde_json::from_str(&shop.server.text(BOOKS)).unwrap();
        if !books["under_way"].is_null() {
            let status = shop.server.ends(4, &["status"]);
            assert!(status.contains("E810") && status.contains("interrupted"), "{status}");
            // Nobody changes programs or settings in between.
            let install = shop.server.ends(4, &["install"]);
            assert!(install.contains("run `storectl upgrade --resume` before"), "{install}");
            let said = shop.server.ends(1, &shop.command(&["upgrade", "--resume"]));
            assert!(said.contains("E809") && said.contains("keep running"), "{said}");
        }
        shop.is_version("0.1.0");
        assert!(
            shop.server
                .ends(0, &shop.command(&["upgrade", "--resume"]))
                .contains("no upgrade was interrupted")
        );
        shop.server.ends(1, &shop.upgrade(&release));
        assert_eq!(programs(&shop.server), before, "after a kill at {point}");
    }
}

/// Everything below the programs' folder.
fn programs(server: &Server) -> Vec<String> {
    let mut lines = server.tree();
    lines.retain(|line| line.contains(" opt/"));
    lines
}

/// A release that must be refused: by which code, with which exit.
type Spoiled = (&'static str, i32, PathBuf);

impl Works {
    /// A copy of a good release, spoiled.
    fn spoiled(&self, name: &str, spoil: impl FnOnce(&Path)) -> PathBuf {
        let folder = self.press.copied(&self.scene.join("press-head-office/release-7"), name);
        spoil(&folder);
        folder
    }

    /// The same with one text replaced by another in a file.
    fn reworded(&self, name: &str, file: &str, is: &str, becomes: &str) -> PathBuf {
        self.spoiled(name, |folder| {
            let text = fs::read_to_string(folder.join(file)).expect("the ground of a test holds");
            fs::write(folder.join(file), text.replace(is, becomes)).expect("the ground of a test holds");
        })
    }

    /// The same with these files of another chain's release.
    fn mixed(&self, name: &str, foreign: &Path, files: &[&str]) -> PathBuf {
        self.spoiled(name, |folder| {
            for file in files {
                fs::copy(foreign.join(file), folder.join(file)).expect("the ground of a test holds");
            }
        })
    }

    /// The same with an agent of other bytes.
    fn damaged(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
        self.spoiled(name, |folder| {
            let file = folder.join(agent_file());
            let mut bytes = fs::read(&file).expect("the ground of a test holds");
            damage(&mut bytes);
            fs::write(file, bytes).expect("the ground of a test holds");
        })
    }

    fn wrongly_signed(&self) -> Vec<Spoiled> {
        let other = Press::open(&self.scene, "somebody-else", &self.agent);
        let foreign = other.release("theirs", &Spec::of("0.1.7", 7));
        let by_root = self.spoiled("signed-by-the-wrong-level", |folder| {
            let text = fs::read(folder.join("release.json")).expect("the ground of a test holds");
            self.press.sign(
                folder,
                "release.json",
                &serde_json::from_slice(&text).expect("the ground of a test holds"),
                "root",
            );
        });
        let unsigned = self.spoiled("no-signature", |folder| {
            fs::write(folder.join("release.json.minisig"), "trust me").expect("the ground of a test holds");
        });
        let their_manifest = ["release.json", "release.json.minisig"];
        let their_keys = ["keys.json", "keys.json.minisig"];
        vec![
            ("E802", 1, self.reworded("manifest-changed", "release.json", "0.1.7", "0.9.9")),
            ("E802", 1, self.reworded("keys-changed", "keys.json", "2099", "2098")),
            ("E802", 1, self.mixed("their-manifest", &foreign, &their_manifest)),
            ("E802", 1, self.mixed("their-keys", &foreign, &their_keys)),
            ("E802", 1, foreign),
            ("E802", 1, by_root),
            ("E802", 1, unsigned),
        ]
    }

    fn not_whole(&self) -> Vec<Spoiled> {
        let missing = self.spoiled("program-missing", |folder| {
            fs::remove_file(folder.join(agent_file())).expect("the ground of a test holds")
        });
        let endless = self.spoiled("endless-manifest", |folder| {
            fs::write(folder.join("release.json"), vec![b' '; 100 << 10])
                .expect("the ground of a test holds");
        });
        let flipped = |bytes: &mut Vec<u8>| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        };
        vec![
            ("E803", 1, self.damaged("program-changed", flipped)),
            ("E803", 1, self.damaged("program-cut", |bytes| bytes.truncate(bytes.len() - 1))),
            ("E803", 1, self.damaged("program-longer", |bytes| bytes.push(0))),
            ("E801", 2, missing),
            ("E801", 2, endless),
            ("E801", 2, self.scene.join("nowhere")),
        ]
    }

    fn signed_and_wrong(&self) -> Vec<Spoiled> {
        let good = self.scene.join("press-head-office/release-7");
        let press = &self.press;
        let changed = |name: &str, key: &'static str, value: Value| {
            press.changed(&good, name, move |manifest| manifest[key] = value)
        };
        let artefact = |name: &str, key: &'static str, value: Value| {
            press.changed(&good, name, move |manifest| manifest["artefacts"][0][key] = value)
        };
        let old = "2020-01-01T00:00:00Z";
        vec![
            ("E804", 1, press.release("expired", &Spec { expires: old, ..Spec::of("0.1.7", 7) })),
            ("E804", 1, press.release("keys-expired", &Spec { keys_expires: old, ..Spec::of("0.1.7", 7) })),
            ("E801", 2, changed("format", "format", json!("shopsmart-release/2"))),
            ("E801", 2, changed("version-elsewhere", "version", json!("../../../tmp/x"))),
            ("E801", 2, changed("version-reserved", "version", json!("installed"))),
            ("E801", 2, changed("nothing-in-it", "artefacts", json!([]))),
            ("E801", 2, artefact("file-elsewhere", "file", json!("../release-7/release.json"))),
            ("E801", 2, artefact("huge", "size", json!(1_u64 << 60))),
            ("E801", 2, artefact("another-machine", "target", json!("riscv64-linux"))),
            // Its program says that it is 0.1.7. The last one: its folder stays until the next upgrade looks.
            ("E501", 1, changed("another-version", "version", json!("0.1.9"))),
        ]
    }
}

fn agent_file() -> String {
    format!("store-agent-{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[test]
fn what_is_not_signed_not_whole_or_out_of_date_changes_nothing() {
    let works = Works::open("upgrade-spoiled");
    let shop = works.shop("S0042");
    let good = works.release("0.1.7", 7);
    let (before, boot) = (shop.server.tree(), shop.boot());
    for (code, exit, release) in
        [works.wrongly_signed(), works.not_whole(), works.signed_and_wrong()].concat()
    {
        let said = shop.server.ends(exit, &shop.upgrade(&release));
        assert!(said.contains(code), "{}: {said}", release.display());
        assert_eq!(shop.boot(), boot, "{}: the agent was not touched", release.display());
        let mut now = shop.server.tree();
        // A list of keys that holds is remembered, whatever becomes of the release.
        now.retain(|line| !line.contains("releases/0.1.9") && !line.contains("shopsmart/upgrade"));
        assert_eq!(now, before, "{}", release.display());
    }
    let roots = shop.server.path("etc/shopsmart/release-roots.pub");
    fs::write(&roots, "# nobody\n").unwrap();
    assert!(shop.server.ends(1, &shop.upgrade(&good)).contains("E812"));
    fs::write(&roots, works.press.roots()).unwrap();

    // A list of keys that was seen is not followed by an older one, which may name a key that was lost.
    let newer = works.press.release("new-keys", &Spec { keys_sequence: 4, ..Spec::of("0.1.7", 7) });
    shop.server.ends(0, &shop.upgrade(&newer));
    let replayed = works.press.release("old-keys", &Spec { keys_sequence: 3, ..Spec::of("0.1.8", 8) });
    assert!(shop.server.ends(5, &shop.upgrade(&replayed)).contains("E805"));
}

#[test]
fn a_disk_that_fills_up_while_a_release_is_unpacked_costs_nothing() {
    let works = Works::open("upgrade-disk");
    let shop = works.shop("S0042");
    let release = works.release("0.1.7", 7);
    let (before, boot) = (programs(&shop.server), shop.boot());
    // No file may become longer than a megabyte: it fails where a full disk would.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"]);
    let plain = shop.server.command(&shop.upgrade(&release));
    let output = limited.arg(plain.get_program()).args(plain.get_args()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("E202"), "{output:?}");
    assert_eq!((programs(&shop.server), shop.boot()), (before, boot));
    shop.server.ends(0, &shop.upgrade(&release));
    shop.is_version("0.1.7");
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was_and_brings_nothing_that_was_not_signed() {
    let works = Works::open("upgrade-download");
    let shop = works.shop("S0042");
    let release = works.release("0.1.7", 7);
    let web = Web::open(&release, works.scene.join("web-ca.pem"));
    let place = format!("https://{}", web.address);
    let mut upgrade = shop.upgrade(Path::new(&place));
    let boot = shop.boot();
    let untrusted = shop.server.ends(1, &upgrade);
    assert!(untrusted.contains("E813") && web.asked().is_empty(), "{untrusted}");
    upgrade.extend(["--ca".to_owned(), web.authority.display().to_string()]);

    // A megabyte, then a line that brings nothing however often it is tried.
    web.breaks_after(&[1 << 20, 0, 0, 0, 0, 0]);
    let dead = shop.server.ends(1, &upgrade);
    assert!(dead.contains("E813"), "{dead}");
    assert_eq!(shop.boot(), boot);
    // The next day it goes on from there, with two more megabytes before the line holds.
    let before = web.asked().len();
    web.breaks_after(&[1 << 20, 1 << 20]);
    shop.server.ends(0, &upgrade);
    shop.is_version("0.1.7");
    let asked: Vec<String> =
        web.asked().split_off(before).into_iter().filter(|asked| asked.starts_with("store-agent")).collect();
    let begins: Vec<&str> = asked.iter().filter_map(|asked| asked.split(" from ").nth(1)).collect();
    assert_eq!(begins, ["1048576", "2097152", "3145728"]);
    assert!(!shop.server.path("var/lib/shopsmart/upgrade/download").exists());

    let next = works.release("0.1.8", 8);
    let agent = next.join(agent_file());
    let bytes = fs::metadata(&agent).unwrap().len();
    fs::write(&agent, vec![7; usize::try_from(bytes).unwrap()]).unwrap();
    let web = Web::open(&next, works.scene.join("other-ca.pem"));
    let mut upgrade = shop.upgrade(Path::new(&format!("https://{}", web.address)));
    upgrade.extend(["--ca".to_owned(), web.authority.display().to_string()]);
    assert!(shop.server.ends(1, &upgrade).contains("E803"));
    shop.is_version("0.1.7");
}

/// What the next agent does to the database before it runs.
fn migrates(oldest: u64) -> String {
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS later (x INTEGER) STRICT; UPDATE schema_oldest SET version = {oldest}; PRAGMA user_version = 6"
    );
    format!(
        "python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])' \"$(dirname \"$3\")/../../var/lib/shopsmart/agent/agent.db\" '{sql}'"
    )
}

#[test]
fn a_version_that_only_adds_to_the_database_can_be_taken_back_with_all_that_was_sold_under_it() {
    let works = Works::open("upgrade-adds");
    let shop = works.shop("S0042");
    // What runs says the same version as the program that was asked.
    let agent = works.release("0.3.0", 29).join(agent_file());
    let run = format!("{}; exec {} \"$@\"", migrates(5), agent.display());
    let release = works.scripted("0.3.0", 30, 5, &run);
    shop.sells_while(|| drop(shop.server.ends(0, &shop.upgrade(&release))));
    // The ledger of the newer version is the older one's too.
    shop.sells_while(|| drop(shop.server.ends(0, &shop.command(&["rollback"]))));
    shop.is_version("0.1.0");
    assert!(shop.server.ends(5, &shop.upgrade(&works.scripted("0.3.1", 31, 6, &run))).contains("E808"));
}

#[test]
fn a_version_without_a_way_back_that_fails_is_told_until_somebody_has_looked() {
    let works = Works::open("upgrade-one-way");
    let shop = works.shop("S0042");
    let once = shop.server.path("migrated").display().to_string();
    let run = format!("[ -e {once} ] || {}; touch {once}; exit 1", migrates(6));
    let release = works.scripted("0.3.1", 31, 6, &run);
    let refused = shop.server.ends(5, &shop.upgrade(&release));
    assert!(refused.contains("E808"), "{refused}");
    shop.is_version("0.1.0");

    let said = shop.server.ends(4, &[shop.upgrade(&release), vec!["--one-way".to_owned()]].concat());
    assert!(said.contains("E810") && said.contains("knows only 5"), "{said}");
    for command in ["status", "doctor"] {
        let told = shop.server.ends(4, &[command]);
        assert!(told.contains("E810") && told.contains("upgrade --resume"), "{told}");
    }
    // The databases from before are kept for whoever looks.
    assert!(shop.server.path("var/lib/shopsmart/upgrade/snapshot/agent.db").exists());
    let again = shop.server.ends(4, &shop.command(&["upgrade", "--resume", "--healthy-within", "1"]));
    assert!(again.contains("E810"), "{again}");

    // Somebody from head office mends the database, and the next release is the way out.
    let undo = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript('UPDATE schema_oldest SET version = 5')";
    let database = shop.server.path("var/lib/shopsmart/agent/agent.db");
    let mend = Command::new("python3").args(["-c", undo]).arg(&database).status().unwrap();
    assert!(mend.success());
    let snapshot = || {
        let copy = shop.server.path("var/lib/shopsmart/upgrade/snapshot/agent.db");
        copy.metadata().and_then(|known| known.modified()).unwrap()
    };
    let before = snapshot();
    shop.server.ends(0, &shop.upgrade(&works.release("0.3.3", 33)));
    shop.is_version("0.3.3");
    assert_eq!(snapshot(), before, "the one from before the doubt is kept");
    shop.server.ends(0, &["status"]);
}

#[test]
fn it_waits_for_its_window_and_for_people_at_work() {
    let works = Works::open("upgrade-window");
    let shop = works.shop("S0042");
    let (release, next) = (works.release("0.1.7", 7), works.release("0.1.8", 8));
    let boot = shop.boot();
    // One half of the day is not now. The other half upgrades, and a newer release finds out which.
    let halves = [("00:00-12:00", &release), ("12:00-00:00", &next)];
    let ends = halves.map(|(window, release)| {
        let asked = [shop.upgrade(release), vec!["--window".to_owned(), window.to_owned()]].concat();
        let output = shop.server.storectl(&asked);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert!(ends.iter().any(|(code, said)| *code == Some(5) && said.contains("E807")), "{ends:?}");
    assert!(ends.iter().any(|(code, _)| *code == Some(0)), "{ends:?}");
    assert_ne!(shop.boot(), boot);

    // Somebody picks an order, whatever becomes of it.
    shop.client().post("/v1/orders/0000000001/accept", &json!({ "by": "Ana" })).unwrap();
    let (boot, last) = (shop.boot(), works.release("0.1.9", 9));
    let busy = shop.server.ends(5, &shop.upgrade(&last));
    assert!(busy.contains("E807") && busy.contains("at work"), "{busy}");
    assert_eq!(shop.boot(), boot);
    shop.server.ends(0, &[shop.upgrade(&last), vec!["--now".to_owned()]].concat());
    shop.is_version("0.1.9");

    let config = shop.server.path("etc/shopsmart/storectl.toml");
    fs::write(&config, "[upgrade]\nwindw = \"01:00-05:00\"\n").unwrap();
    let typo = shop.server.ends(2, &shop.upgrade(&last));
    assert!(typo.contains("E103") && typo.contains("windw"), "{typo}");
}

#[test]
fn programs_from_before_there_were_releases_are_upgraded_and_an_agent_that_is_stopped_is_not_started() {
    let works = Works::open("upgrade-old-layout");
    let shop = works.shop("S0042");
    let bin = shop.server.path("opt/shopsmart/bin/store-agent");
    drop(shop.supervisor);
    fs::remove_file(&bin).unwrap();
    fs::copy(&works.agent, &bin).unwrap();
    fs::remove_dir_all(shop.server.path("opt/shopsmart/releases")).unwrap();
    fs::remove_file(shop.server.path("opt/shopsmart/current")).unwrap();
    let release = works.release("0.1.7", 7);
    let said = shop.server.ends(0, &["upgrade", "--from", release.to_str().unwrap()]);
    assert!(said.contains("0.1.7 is in force") && said.contains("was not tried"), "{said}");
    let mut server = shop.server;
    server.start();
    server.report("receipt", "4011", 1);
    server.stop();
    let gone = server.ends(0, &["uninstall"]);
    assert!(gone.contains("uninstalled") && !server.path("opt/shopsmart").exists());
    let books: Value = serde_json::from_str(&server.text(BOOKS)).unwrap();
    assert!(books["previous"].is_null() && books["sequence_max"] == 7, "{books}");
    assert!(server.ends(1, &["upgrade", "--from", release.to_str().unwrap()]).contains("E509"));
}
