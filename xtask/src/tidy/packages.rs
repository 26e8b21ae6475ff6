//! Direction between packages: the agent never knows the hub, and the shared core knows nobody and does no I/O.

use super::Fault;
use super::tree::Tree;

/// Each package's folder and the workspace packages it may depend on.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("sync-protocol", &[]),
    ("store-agent", &["sync-protocol"]),
    ("cloud-hub", &["sync-protocol"]),
    ("installer", &["sync-protocol"]),
    ("simulators", &["sync-protocol", "store-agent", "cloud-hub"]),
    ("tests", &["sync-protocol", "store-agent", "cloud-hub", "installer", "simulators"]),
    ("xtask", &[]),
];

/// Libraries that do I/O, read a clock or draw random numbers: not for the shared core.
const NOT_IN_CORE: [&str; 9] =
    ["tokio", "quinn", "rusqlite", "axum", "hyper", "getrandom", "socket2", "jiff", "tracing-subscriber"];

/// Second TLS stacks and dead libraries; `deny.toml` bans them too, where cargo-deny is at hand.
const NOT_IN_LOCK: [&str; 6] = ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "bincode"];

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = check_lock(tree.text("Cargo.lock").unwrap_or_default());
    for (path, text) in tree.files("", "Cargo.toml") {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        match MAY_USE.iter().find(|(name, _)| *name == folder) {
            Some((_, allowed)) => faults.extend(check_package(path, text, folder, allowed)),
            None if folder.ends_with("/fuzz") => {}
            None => faults.push(Fault::new(path, "a package that xtask's table does not know")),
        }
    }
    faults
}

fn check_lock(lock: &str) -> Vec<Fault> {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let banned = names.filter(|name| NOT_IN_LOCK.contains(name));
    banned.map(|name| Fault::new("Cargo.lock", format!("`{name}` is banned, see deny.toml"))).collect()
}

fn check_package(path: &str, text: &str, folder: &str, allowed: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, name, for_tests) in dependencies(text) {
        let place = format!("{path}:{line}");
        let ours = MAY_USE.iter().any(|(package, _)| *package == name);
        if ours && !allowed.contains(&name) {
            faults.push(Fault::new(&place, format!("`{folder}` must not depend on `{name}`")));
        }
        if folder == "sync-protocol" && !for_tests && NOT_IN_CORE.contains(&name) {
            faults.push(Fault::new(&place, format!("`{name}` has no place in the shared core")));
        }
    }
    faults
}

/// Line, name and whether it is for tests only.
fn dependencies(text: &str) -> Vec<(usize, &str, bool)> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if section.ends_with("dependencies") && !name.is_empty() && !name.starts_with('#') {
            found.push((index + 1, name, section.ends_with("dev-dependencies")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_agent_never_knows_the_hub() {
        let text = "[package]\nname = \"store-agent\"\n[dev-dependencies]\ncloud-hub.workspace = true\n";
        let found = faults("store-agent/Cargo.toml", text);
        assert_eq!(found, ["store-agent/Cargo.toml:4: `store-agent` must not depend on `cloud-hub`"]);
    }

    #[test]
    fn the_core_does_no_io() {
        let found = faults("sync-protocol/Cargo.toml", "[dependencies]\ntokio = \"1\"\n");
        assert_eq!(found, ["sync-protocol/Cargo.toml:2: `tokio` has no place in the shared core"]);
    }

    #[test]
    fn a_second_tls_stack_is_found() {
        let found = faults("Cargo.lock", "[[package]]\nname = \"openssl-sys\"\nversion = \"0.9\"\n");
        assert_eq!(found, ["Cargo.lock: `openssl-sys` is banned, see deny.toml"]);
    }

    #[test]
    fn no_package_appears_unnoticed() {
        let found = faults("common/Cargo.toml", "[package]\n");
        assert_eq!(found, ["common/Cargo.toml: a package that xtask's table does not know"]);
    }

    #[test]
    fn what_is_allowed_passes() {
        let text = "[dependencies]\nsync-protocol = { path = \"x\" }\ntokio.workspace = true\n";
        assert_eq!(faults("cloud-hub/Cargo.toml", text), [""; 0]);
    }
}
