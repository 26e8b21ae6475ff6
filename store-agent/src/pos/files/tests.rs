//! A folder with files that come late, twice and in pieces, and an agent that dies at any step.

use super::*;
use crate::agent::{Document, ItemKey};
use crate::config::Config;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;
use sync_protocol::UnixMillis;

/// The tests' own time; files are dated by it.
const MORNING: i64 = 1_795_000_000_000;
/// Longer than any file has to be still.
const A_WHILE_MS: i64 = 20_000;

thread_local! {
    static PASSED_MS: Cell<i64> = const { Cell::new(0) };
}

fn wall() -> UnixMillis {
    UnixMillis(MORNING + PASSED_MS.get())
}

#[expect(clippy::disallowed_methods, reason = "where this clock begins is of no matter")]
fn instant() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now) + Duration::from_millis(PASSED_MS.get().unsigned_abs())
}

fn pass(ms: i64) {
    PASSED_MS.set(PASSED_MS.get() + ms);
}

/// What the core does with readings: takes them whole or not at all.
#[derive(Debug, Default)]
struct Books {
    cursor: Option<Vec<u8>>,
    documents: BTreeMap<String, Document>,
    conflicts: u64,
    reasons: Vec<String>,
}

impl Books {
    fn take(&mut self, reading: Reading) {
        for of in reading.documents {
            let name = of.document.reference.to_string();
            match self.documents.get(&name) {
                Some(known) if *known == of.document => {}
                Some(_) => self.conflicts += 1,
                None => drop(self.documents.insert(name, of.document)),
            }
        }
        self.reasons.extend(reading.set_aside.into_iter().map(|aside| aside.reason));
        if let Some(cursor) = reading.cursor {
            assert!(cursor.len() <= sync_protocol::limits::CURSOR_BYTES_MAX);
            self.cursor = Some(cursor);
        }
    }

    fn stock(&self) -> BTreeMap<String, i64> {
        let mut stock = BTreeMap::new();
        for document in self.documents.values() {
            for line in &document.lines {
                let item = match &line.item {
                    ItemKey::Sku(sku) => sku.to_string(),
                    ItemKey::Gtin(gtin) => gtin.to_string(),
                };
                let effect = document.kind.effect(line.quantity).unwrap_or_default();
                *stock.entry(item).or_default() += effect.thousandths();
            }
        }
        stock
    }
}

const CSV: &str = r#"[[pos]]
source = "files"
kind = "csv"
path = "in"
kinds = [{ starts = "*", kind = "sale", quantity_is = "amount" }]
[pos.files]
after = "archive"
[pos.files.csv]
columns = { key = "id", item = "item", quantity = "qty", at = "at" }
"#;
const POSLOG: &str =
    "[[pos]]\nsource = \"files\"\nkind = \"poslog\"\npath = \"in\"\n[pos.files]\nafter = \"archive\"\n";

struct Scene {
    folder: tempfile::TempDir,
    config: String,
    books: Books,
}

impl Scene {
    fn new(pos: &str) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        Scene {
            folder,
            config: format!("store = \"S0001\"\ndata_dir = \".\"\n{pos}"),
            books: Books::default(),
        }
    }

    fn source(&self) -> FileSource {
        let config = Config::parse(&self.config, &self.folder.path().join("agent.toml")).unwrap();
        let pos = config.pos[0].clone();
        let crate::config::pos::PosKind::Files(files) = pos.kind.clone() else { panic!("{pos:?}") };
        let sidecar = self.folder.path().join("pos-files.db");
        FileSource::new(pos, *files, sidecar, Clocks { wall, instant })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn work(&self, name: &str) -> PathBuf {
        self.path(".shopsmart-files").join(name)
    }

    /// Puts a file there, written just now.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        date(&path);
    }

    /// Reads until nothing is left that is ready.
    fn read_all(&mut self, source: &mut FileSource) {
        loop {
            let reading = source.read(self.books.cursor.as_deref()).unwrap();
            let is_all = reading.is_all;
            self.books.take(reading);
            if is_all {
                return;
            }
        }
    }

    fn read(&mut self) {
        pass(A_WHILE_MS);
        let mut source = self.source();
        self.read_all(&mut source);
    }

    fn names(&self, place: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(place).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    fn archived(&self) -> Vec<String> {
        let days = self.names(&self.work("done"));
        days.iter().flat_map(|day| self.names(&self.work("done").join(day))).collect()
    }
}

fn date(path: &Path) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(wall().0.unsigned_abs());
    std::fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

fn csv(rows: impl IntoIterator<Item = u32>) -> String {
    let rows = rows.into_iter().map(|id| format!("{id},item-{},1,2026-11-28 10:00:00\n", id % 7));
    format!("id,item,qty,at\n{}", rows.collect::<String>())
}

fn sold(stock: &BTreeMap<String, i64>) -> i64 {
    -stock.values().sum::<i64>() / 1_000
}

/// Lanes of a day, as POSLog 6.0.
fn lane(lane: u32, sequences: impl IntoIterator<Item = u32>) -> String {
    let of = |sequence: u32| {
        format!(
            "<Transaction><BusinessUnit><UnitID>1</UnitID></BusinessUnit><WorkstationID>{lane}</WorkstationID>\
             <SequenceNumber>{sequence}</SequenceNumber><BusinessDayDate>2026-11-28</BusinessDayDate>\
             <EndDateTime>2026-11-28T12:00:00Z</EndDateTime><RetailTransaction><LineItem><Sale ItemType=\"Stock\">\
             <ItemID>item-{}</ItemID><Quantity>1</Quantity></Sale></LineItem></RetailTransaction></Transaction>",
            sequence % 5
        )
    };
    sequences.into_iter().map(of).collect()
}

fn poslog(transactions: &str) -> String {
    format!("<POSLog xmlns=\"http://www.nrf-arts.org/IXRetail/namespace/\">{transactions}</POSLog>\n")
}

#[test]
fn a_file_is_read_once_and_archived() {
    let mut scene = Scene::new(CSV);
    scene.put("a.csv", csv(0..500));
    scene.put("b.csv", csv(500..510));
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 510);
    assert_eq!(scene.names(&scene.path("")), [""; 0]);
    assert_eq!(scene.archived(), ["a.csv", "b.csv"]);
    assert_eq!((scene.books.conflicts, scene.books.reasons.len()), (0, 0));
}

#[test]
fn what_comes_twice_out_of_order_or_overlapping_counts_once() {
    let mut scene = Scene::new(CSV);
    for (name, rows) in [("3.csv", 20..30), ("1.csv", 0..15), ("again.csv", 20..30), ("2.csv", 10..25)] {
        scene.put(name, csv(rows));
        scene.read();
    }
    scene.put("1.csv", csv(0..15));
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 30);
    assert_eq!(scene.archived(), ["1.csv", "1.csv.1", "2.csv", "3.csv", "again.csv"]);
}

#[test]
fn lines_without_keys_are_known_by_their_file() {
    let mut scene = Scene::new(&CSV.replace("key = \"id\", ", ""));
    let same = "id,item,qty,at\n1,A,1,2026-11-28 10:00:00\n1,A,1,2026-11-28 10:00:00\n";
    for name in ["a.csv", "copy.csv"] {
        scene.put(name, same);
        scene.read();
    }
    assert_eq!(scene.books.stock(), BTreeMap::from([("A".to_owned(), -2_000)]));
}

#[test]
fn a_file_is_left_alone_until_it_is_still_whole_and_named_as_ours() {
    let mut scene = Scene::new(CSV);
    let mut source = scene.source();
    for name in ["a.csv.tmp", "a.csv.part", ".a.csv", "a.txt"] {
        scene.put(name, csv(0..1));
    }
    scene.put("growing.csv", csv(0..1));
    scene.read_all(&mut source);
    for rows in 2..5 {
        pass(900);
        scene.put("growing.csv", csv(0..rows));
        scene.read_all(&mut source);
        assert_eq!(sold(&scene.books.stock()), 0, "it is being written");
    }
    pass(1_100);
    scene.read_all(&mut source);
    assert_eq!(sold(&scene.books.stock()), 4);
    scene.put("torn.csv", "id,item,qty,at\n9,item-2,1,2026-11-28 10:00:00\n10,item-2,1");
    for _ in 0..20 {
        pass(2_000);
        scene.read_all(&mut source);
    }
    assert_eq!(sold(&scene.books.stock()), 4, "its last line has no end yet");
    pass(60_000);
    scene.read_all(&mut source);
    assert_eq!(sold(&scene.books.stock()), 5);
    assert!(
        scene.books.reasons[0].starts_with("torn.csv, line 3: it has 3 columns"),
        "{:?}",
        scene.books.reasons
    );
    assert_eq!(scene.names(&scene.path("")), ["a.csv.part", "a.csv.tmp", "a.txt"]);
}

#[test]
fn xml_that_is_cut_short_is_waited_for_and_then_read_as_far_as_it_goes() {
    let mut scene = Scene::new(POSLOG);
    let whole = poslog(&lane(1, 0..3));
    let mut source = scene.source();
    scene.put("day.xml", &whole[..whole.len() - 200]);
    for _ in 0..20 {
        scene.read_all(&mut source);
        pass(2_000);
    }
    assert_eq!(sold(&scene.books.stock()), 0);
    pass(60_000);
    scene.read_all(&mut source);
    assert_eq!(sold(&scene.books.stock()), 2);
    assert_eq!(scene.names(&scene.work("set-aside")), ["day.xml"]);
    assert!(scene.books.reasons[0].contains("ends in the middle"), "{:?}", scene.books.reasons);
    scene.put("day.xml", &whole);
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 3);
}

#[test]
fn what_is_done_with_a_file_is_as_configured() {
    let mut scene = Scene::new(&CSV.replace("archive", "delete"));
    scene.put("a.csv", csv(0..3));
    scene.read();
    assert_eq!((scene.archived().len(), scene.names(&scene.work("taken")).len()), (0, 0));
    assert_eq!(sold(&scene.books.stock()), 3);

    let mut scene = Scene::new(&CSV.replace("archive", "leave"));
    scene.put("a.csv", csv(0..3));
    scene.read();
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 3);
    assert_eq!(scene.names(&scene.path("")), ["a.csv"]);
    assert!(!scene.work("").exists(), "nothing in the folder is touched");
    scene.put("a.csv", csv(0..5));
    scene.read();
    assert_eq!((sold(&scene.books.stock()), scene.books.conflicts), (5, 0));
    std::fs::remove_file(scene.folder.path().join("pos-files.db")).unwrap();
    scene.books.cursor = None;
    scene.read();
    assert_eq!((sold(&scene.books.stock()), scene.books.conflicts), (5, 0), "what was forgotten counts once");
}

#[test]
fn archived_days_go_when_their_time_is_over() {
    let mut scene = Scene::new(&CSV.replace("after = \"archive\"", "keep_days = 2"));
    for day in 0..4u32 {
        scene.put("a.csv", csv(day..day + 1));
        scene.read();
        pass(24 * 3_600_000);
    }
    assert_eq!(scene.names(&scene.work("done")).len(), 3);
    assert_eq!(sold(&scene.books.stock()), 4);
}

#[test]
fn links_pipes_and_folders_are_no_files() {
    let mut scene = Scene::new(CSV);
    let outside = scene.folder.path().join("outside.csv");
    std::fs::write(&outside, csv(0..9)).unwrap();
    std::os::unix::fs::symlink(&outside, scene.path("link.csv")).unwrap();
    std::fs::create_dir(scene.path("folder.csv")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(scene.path("pipe.csv")).status().unwrap();
    assert!(made.success());
    scene.put("a.csv", csv(20..21));
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 1);
    assert_eq!(scene.names(&scene.path("")), ["folder.csv", "link.csv", "pipe.csv"]);
    // A link where the agent's own folder should be is not followed either.
    let scene = Scene::new(CSV);
    std::os::unix::fs::symlink(scene.folder.path(), scene.path(".shopsmart-files")).unwrap();
    scene.put("a.csv", csv(0..1));
    pass(A_WHILE_MS);
    let said = scene.source().read(None).unwrap_err().to_string();
    assert!(said.contains("folder") && scene.path("a.csv").exists(), "{said}");
}

#[test]
fn a_file_that_vanishes_stops_nothing() {
    let mut scene = Scene::new(CSV);
    scene.put("a.csv", csv(0..500));
    scene.put("b.csv", csv(500..501));
    pass(A_WHILE_MS);
    let mut source = scene.source();
    let reading = source.read(None).unwrap();
    scene.books.take(reading);
    std::fs::remove_file(scene.work("taken").join("a.csv")).unwrap();
    drop(source);
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 51);
}

#[test]
fn a_file_that_is_none_of_ours_is_set_aside_and_the_next_is_read() {
    let mut scene = Scene::new(CSV);
    scene.put("a.csv", "id,article,qty,at\n1,A,1,2026-11-28 10:00:00\n");
    scene.put("b.csv", csv(0..2));
    scene.read();
    assert_eq!(sold(&scene.books.stock()), 2);
    assert_eq!(scene.names(&scene.work("set-aside")), ["a.csv"]);
    let said = &scene.books.reasons[0];
    assert!(said.contains("a.csv: the file can't be read on: it has no column `item`"), "{said}");
    assert!(said.contains("move it back"), "{said}");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_whole() {
    let mut scene = Scene::new(CSV);
    scene.put("a.csv", csv(0..300));
    pass(A_WHILE_MS);
    let mut source = scene.source();
    let reading = source.read(None).unwrap();
    scene.books.take(reading);
    std::fs::write(scene.work("taken").join("a.csv"), csv(0..350)).unwrap();
    scene.read_all(&mut source);
    assert_eq!((sold(&scene.books.stock()), scene.books.conflicts), (350, 0));

    let mut scene = Scene::new(&CSV.replace("key = \"id\", ", ""));
    scene.put("a.csv", csv(0..300));
    let mut source = scene.source();
    pass(A_WHILE_MS);
    let reading = source.read(None).unwrap();
    scene.books.take(reading);
    std::fs::write(scene.work("taken").join("a.csv"), csv(0..350)).unwrap();
    scene.read_all(&mut source);
    assert_eq!(sold(&scene.books.stock()), 300, "which of its lines are new can't be told");
    assert_eq!(scene.names(&scene.work("set-aside")), ["a.csv"]);
}

#[test]
fn a_stock_file_is_counted_and_the_same_figures_later_count_again() {
    let config = CSV
        .replace("kinds = [{ starts = \"*\", kind = \"sale\", quantity_is = \"amount\" }]\n", "")
        .replace("key = \"id\", ", "")
        .replace(", at = \"at\"", "")
        .replace("columns", "holds = \"figures\"\ncolumns");
    let mut scene = Scene::new(&config);
    let figures = "item,qty\nA,5\nB,2.5\n";
    scene.put("stock.csv", figures);
    scene.read();
    assert_eq!(scene.books.documents.len(), 2);
    scene.put("stock.csv", figures);
    scene.read();
    assert_eq!(scene.books.documents.len(), 4, "what was true again is said again");
    assert!(scene.books.documents.values().all(|of| of.kind == sync_protocol::record::Kind::Count));
}

#[test]
fn a_look_shows_movements_and_what_cannot_be_mapped_and_takes_nothing() {
    let scene = Scene::new(CSV);
    let mut empty = scene.source();
    assert!(empty.check().unwrap().problems[0].contains("fits `*.csv`; put one there"));
    scene.put("a.csv", csv(0..30) + "31,A,x,2026-11-28 10:00:00\n");
    let found = scene.source().check().unwrap();
    assert_eq!(
        (found.movements.len(), found.rows, found.tables.as_slice()),
        (10, 31, &["a.csv".to_owned()][..])
    );
    assert!(found.problems[0].starts_with("a.csv, line 32: `quantity`"), "{:?}", found.problems);
    assert!(scene.path("a.csv").exists() && !scene.work("").exists());
}

#[test]
fn a_cursor_of_another_kind_is_refused() {
    let scene = Scene::new(CSV);
    for foreign in
        ["1081;1005", "begun x 1", "done 0123", "figures 3", &format!("begun {} x", "0".repeat(32))]
    {
        let said = scene.source().read(Some(foreign.as_bytes())).unwrap_err();
        assert!(matches!(said, SourceError::Cursor { .. }), "{foreign}");
    }
}

#[test]
fn the_real_sample_counts_the_same_once_twice_and_split_in_any_order() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/poslog/SMALL.redacted.xml");
    let Ok(text) = std::fs::read_to_string(&sample) else {
        eprintln!("SKIPPED: {} is not there", sample.display());
        return;
    };
    let config = POSLOG.replace("path", "time_zone = \"America/New_York\"\npath");
    let read_in = |files: &[(&str, &str)]| {
        let mut scene = Scene::new(&config);
        for (name, text) in files {
            scene.put(name, text);
            scene.read();
        }
        assert_eq!((scene.books.conflicts, scene.books.reasons.as_slice()), (0, &[][..]));
        scene.books
    };
    let once = read_in(&[("a.xml", &text)]);
    let weighed = BTreeMap::from([("00000000067591".to_owned(), -420)]);
    assert_eq!(once.stock(), weighed, "0.42 of the apples, and nothing that was a reward");
    assert_eq!(once.documents.keys().collect::<Vec<_>>(), ["9/34/161/2017-09-30"]);
    let at = once.documents["9/34/161/2017-09-30"].occurred_at;
    assert_eq!(at.0, "2017-10-01T06:02:54Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
    assert_eq!(read_in(&[("a.xml", &text), ("b.xml", &text)]).stock(), weighed);
    let start = text.find("<Transaction>").unwrap();
    let end = text.rfind("</POSLog>").unwrap();
    let each: Vec<String> = text[start..end]
        .split_inclusive("</Transaction>")
        .map(|of| format!("{}{of}{}", &text[..start], &text[end..]))
        .collect();
    assert_eq!(each.len(), 2);
    for order in [[0, 1], [1, 0]] {
        let split = order.map(|at| ("a.xml", each[at].as_str()));
        assert_eq!(read_in(&split).stock(), weighed);
    }
}

#[test]
fn lanes_split_doubled_and_shuffled_give_the_same_stock() {
    let lanes: Vec<String> = (1..=7).map(|of| lane(of, 0..40)).collect();
    let mut whole = Scene::new(POSLOG);
    whole.put("day.xml", poslog(&lanes.concat()));
    whole.read();
    let mut split = Scene::new(POSLOG);
    for at in [3usize, 6, 0, 5, 3, 2, 1, 4, 0] {
        split.put(&format!("lane-{at}.xml"), poslog(&lanes[at]));
        if at % 2 == 0 {
            split.read();
        }
    }
    split.put("day.xml", poslog(&lanes.concat()));
    split.read();
    assert_eq!(sold(&whole.books.stock()), 280);
    assert_eq!(split.books.stock(), whole.books.stock());
    assert_eq!((split.books.conflicts, split.books.reasons.len()), (0, 0));
}

/// What befalls the reader at one step.
#[derive(Debug, Clone, Copy)]
enum Step {
    Recorded,
    /// Killed before what was read was recorded.
    Lost,
    /// Killed right after.
    RecordedThenKilled,
    /// The core went back to no cursor at all: a new disk.
    Forgotten,
    Arrives(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Recorded),
        2 => Just(Step::Lost),
        2 => Just(Step::RecordedThenKilled),
        1 => Just(Step::Forgotten),
        2 => (0u8..6).prop_map(Step::Arrives),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kill_at_any_step_loses_and_doubles_nothing(steps in prop::collection::vec(step(), 1..40), after in 0usize..3, is_xml in any::<bool>()) {
        let config = if is_xml { POSLOG } else { CSV };
        let mut scene = Scene::new(&config.replace("archive", ["archive", "delete", "leave"][after]));
        let text = |number: u8| {
            let rows = u32::from(number) * 60..u32::from(number + 1) * 60 + 20;
            if is_xml { poslog(&lane(1, rows)) } else { csv(rows) }
        };
        let suffix = if is_xml { "xml" } else { "csv" };
        let mut arrived = std::collections::BTreeSet::new();
        let mut source = scene.source();
        for step in steps {
            pass(A_WHILE_MS);
            if let Step::Arrives(number) = step {
                scene.put(&format!("{number}.{suffix}"), text(number));
                arrived.extend(u32::from(number) * 60..u32::from(number + 1) * 60 + 20);
                continue;
            }
            if matches!(step, Step::Forgotten) {
                scene.books.cursor = None;
                let _ = std::fs::remove_file(scene.folder.path().join("pos-files.db"));
                source = scene.source();
            }
            let reading = source.read(scene.books.cursor.as_deref()).unwrap();
            if !matches!(step, Step::Lost) {
                scene.books.take(reading);
            }
            if matches!(step, Step::Lost | Step::RecordedThenKilled) {
                source = scene.source();
            }
        }
        pass(A_WHILE_MS);
        scene.read_all(&mut source);
        prop_assert_eq!(sold(&scene.books.stock()), i64::try_from(arrived.len()).unwrap());
        prop_assert_eq!((scene.books.conflicts, scene.books.reasons.len()), (0, 0));
        prop_assert_eq!(scene.names(&scene.work("taken")).len(), 0);
    }
}
