//! Direction inside a crate: a module imports only from floors below its own, and neighbours never import each other.

use super::Fault;
use super::source::{after, code};
use super::tree::Tree;

/// Floors from the ground up; the modules of one floor are neighbours.
struct Building {
    package: &'static str,
    floors: &'static [&'static [&'static str]],
}

const BUILDINGS: [Building; 5] = [
    Building {
        package: "sync-protocol",
        floors: &[
            &["limits", "numbered"],
            &["ids", "quantity", "time"],
            &["stock", "order"],
            &["record"],
            &["frame"],
            &["canary", "count", "digest", "enrolment", "pause", "pickup_code"],
            &["link", "releases"],
        ],
    },
    Building {
        package: "store-agent",
        floors: &[
            &["certificate", "config", "health", "version"],
            &["telemetry"],
            &["store"],
            &["agent"],
            &["inbox"],
            &["counter", "explain"],
            &["http"],
            &["pos", "api", "transport", "ui"],
            &["runtime"],
            &["main"],
        ],
    },
    Building {
        package: "cloud-hub",
        floors: &[
            &["config", "door", "health", "standing"],
            &["identity", "telemetry"],
            &["availability"],
            &["orders"],
            &["storage"],
            &["hub"],
            &["desk"],
            &["courier"],
            &["enrol", "ingest", "storefront"],
            &["runtime"],
            &["commands"],
            &["main"],
        ],
    },
    Building {
        package: "installer",
        floors: &[
            &["clock", "fault", "layout"],
            &["console", "files", "presets"],
            &["books", "habits", "plan", "program", "talk"],
            &["identity", "release", "service", "wanted"],
            &["enrolling", "settings", "slots"],
            &["answers"],
            &["checks"],
            &["commands"],
            &["cli"],
            &["main"],
        ],
    },
    Building {
        package: "simulators",
        floors: &[
            &["rng", "clock", "http", "latency"],
            &["scenario"],
            &["pos", "fleet"],
            &["plain", "dst", "demo", "evaluate"],
            &["bench"],
            &["bin"],
        ],
    },
];

/// Cores are synchronous: the driver around them is the only one that waits.
const NO_ASYNC: [&str; 5] = [
    "sync-protocol/src/",
    "store-agent/src/agent/",
    "cloud-hub/src/hub/",
    "cloud-hub/src/availability/",
    "cloud-hub/src/orders/",
];

/// The page that draws the floors.
const PAGE: &str = "docs/architecture.md";

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults: Vec<Fault> = BUILDINGS.iter().flat_map(|building| building.check(tree)).collect();
    if let Some(page) = tree.text(PAGE) {
        let missing = BUILDINGS.iter().map(Building::drawn).filter(|line| !page.contains(line.as_str()));
        faults.extend(missing.map(|line| Fault::new(PAGE, format!("should draw `{line}`"))));
    }
    for folder in NO_ASYNC {
        faults.extend(tree.files(folder, ".rs").filter_map(|(path, text)| asynchronous(path, text)));
    }
    faults
}

impl Building {
    /// As the page draws it, the ground on the left.
    fn drawn(&self) -> String {
        let floors: Vec<String> = self.floors.iter().map(|floor| floor.join(" ")).collect();
        format!("{:<15}{}", self.package, floors.join(" │ "))
    }

    fn check(&self, tree: &Tree) -> Vec<Fault> {
        let src = format!("{}/src/", self.package);
        let root = tree.text(&format!("{src}lib.rs")).unwrap_or_default();
        let names = reexports(root);
        let mut faults = Vec::new();
        for (path, text) in tree.files(&src, ".rs") {
            let module = ModulePath::of(&path[src.len()..]);
            if module.is_root() {
                continue;
            }
            let Some(own) = self.floor(module.top()) else {
                faults.push(Fault::new(
                    path,
                    format!("`{}` stands on no floor; give it one in xtask's table", module.top()),
                ));
                continue;
            };
            for (line, name) in module.imports(&code(text)) {
                let name = names.iter().find(|(item, _)| *item == name).map_or(name, |(_, module)| *module);
                let Some(floor) = self.floor(name) else { continue };
                if name != module.top() && floor >= own {
                    let why = if floor == own { "its neighbour" } else { "which stands above it" };
                    faults.push(Fault::new(
                        format!("{path}:{line}"),
                        format!("`{}` imports `{name}`, {why}", module.top()),
                    ));
                }
            }
        }
        faults
    }

    fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&module))
    }
}

/// A file's place among the modules: `pos/http.rs` is `pos`, `http`.
struct ModulePath<'a> {
    parts: Vec<&'a str>,
}

impl<'a> ModulePath<'a> {
    fn of(file: &'a str) -> Self {
        let parts = file.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
        Self { parts }
    }

    fn is_root(&self) -> bool {
        self.parts == ["lib"]
    }

    fn top(&self) -> &'a str {
        self.parts[0]
    }

    /// First segments below the crate's root that the code names, by `crate::` or by enough `super::`.
    fn imports<'c>(&self, code: &'c str) -> Vec<(usize, &'c str)> {
        let mut found = after(code, "crate::");
        let to_root = "super::".repeat(self.parts.len());
        found.extend(after(code, &to_root).into_iter().filter(|(_, name)| *name != "super"));
        found
    }
}

/// What a crate's root offers under a shorter name: `pub use ids::{StoreId}` gives (`StoreId`, `ids`).
fn reexports(root: &str) -> Vec<(&str, &str)> {
    let mut names = Vec::new();
    for statement in root.split(';').filter_map(|part| part.trim().strip_prefix("pub use ")) {
        let Some((module, rest)) = statement.split_once("::") else {
            continue;
        };
        let words = rest.split(|c: char| !super::source::is_word(c)).filter(|word| !word.is_empty());
        names.extend(words.map(|word| (word, module)));
    }
    names
}

fn asynchronous(path: &str, text: &str) -> Option<Fault> {
    let code = code(text);
    let at = code.find("async ").or_else(|| code.find(".await"))?;
    let line = code[..at].matches('\n').count() + 1;
    Some(Fault::new(format!("{path}:{line}"), "async code in a synchronous core"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn looking_down_is_fine() {
        let tree = [("store-agent/src/agent/mod.rs", "use crate::store::Db;\nuse crate::agent::x;\n")];
        assert_eq!(faults(&tree), [""; 0]);
    }

    #[test]
    fn looking_up_is_a_fault() {
        let found = faults(&[("store-agent/src/store/reader.rs", "\nuse crate::{config, agent::Agent};\n")]);
        assert_eq!(
            found,
            ["store-agent/src/store/reader.rs:2: `store` imports `agent`, which stands above it"]
        );
    }

    #[test]
    fn neighbours_are_strangers() {
        let found = faults(&[("cloud-hub/src/ingest/quic.rs", "fn f() { crate::storefront::g() }")]);
        assert_eq!(found, ["cloud-hub/src/ingest/quic.rs:1: `ingest` imports `storefront`, its neighbour"]);
    }

    #[test]
    fn super_and_short_names_do_not_hide_the_way() {
        let lib = ("sync-protocol/src/lib.rs", "pub use link::{Sender, Pair};\n");
        let found = faults(&[
            lib,
            ("sync-protocol/src/frame/codec.rs", "use super::super::digest;\nuse crate::Pair;"),
        ]);
        assert_eq!(
            found,
            [
                "sync-protocol/src/frame/codec.rs:2: `frame` imports `link`, which stands above it",
                "sync-protocol/src/frame/codec.rs:1: `frame` imports `digest`, which stands above it",
            ]
        );
    }

    #[test]
    fn a_new_module_needs_a_floor() {
        let found = faults(&[("simulators/src/attic.rs", "")]);
        assert_eq!(
            found,
            ["simulators/src/attic.rs: `attic` stands on no floor; give it one in xtask's table"]
        );
    }

    #[test]
    fn the_page_draws_the_same_floors() {
        let page: String = BUILDINGS.iter().map(|building| format!("    {}\n", building.drawn())).collect();
        assert_eq!(faults(&[(PAGE, &page)]), [""; 0]);
        let found = faults(&[(PAGE, &page.replace(" │ bin", ""))]);
        assert!(found.len() == 1 && found[0].contains("should draw `simulators"), "{found:?}");
    }

    #[test]
    fn a_core_does_not_wait() {
        let found = faults(&[("cloud-hub/src/hub/mod.rs", "// async is for others\npub async fn f() {}")]);
        assert_eq!(found, ["cloud-hub/src/hub/mod.rs:2: async code in a synchronous core"]);
    }
}
