//! `cargo xtask sbom`: what a program is made of, as CycloneDX 1.5, and under which licences.
//!
//! Cargo says which crates and whose; the digests are those of `Cargo.lock`, so a reader can hold them against the registry. Features are those
//! of the whole workspace, which may name a crate more than a program has, never one less.

use crate::{commands, place};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is released, and the package that each is built from.
pub const PROGRAMS: [(&str, &str); 3] =
    [("store-agent", "store-agent"), ("storectl", "installer"), ("cloud-hub", "cloud-hub")];
/// A text of a licence is shorter than this.
const TEXT_BYTES_MAX: u64 = 200_000;

#[derive(Debug, clap::Args)]
pub struct Sbom {
    /// Where they are put: `PROGRAM.cdx.json` for each program, and `PROGRAM.licences.txt`.
    #[arg(long, value_name = "DIR", default_value = "target/sbom")]
    out: PathBuf,
}

pub fn run(asked: &Sbom) -> anyhow::Result<()> {
    for path in write(&asked.out)? {
        writeln!(std::io::stdout(), "{}", path.display())?;
    }
    Ok(())
}

/// Writes both for every program.
pub fn write(out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let tree = Tree::read()?;
    fs::create_dir_all(out).with_context(|| format!("cannot make `{}`", out.display()))?;
    let mut written = Vec::new();
    for (program, package) in PROGRAMS {
        let parts = tree.parts(package)?;
        let texts = [
            (
                format!("{program}.cdx.json"),
                serde_json::to_string_pretty(&tree.bill(program, package, &parts)?)? + "\n",
            ),
            (format!("{program}.licences.txt"), tree.licences(program, &parts)?),
        ];
        for (name, text) in texts {
            let path = out.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Everything that cargo knows of this workspace.
struct Tree {
    packages: BTreeMap<String, Value>,
    /// By package: what of it is built in.
    needs: BTreeMap<String, Vec<String>>,
    /// By name and version: the digest of its archive.
    digests: BTreeMap<(String, String), String>,
}

impl Tree {
    fn read() -> anyhow::Result<Tree> {
        let mut metadata = commands::cargo("metadata")?;
        metadata.args(["--format-version", "1", "--locked", "--filter-platform"]).arg(host()?);
        let output = metadata.output().context("cannot run `cargo metadata`")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let id = |of: &Value| of["id"].as_str().map(ToOwned::to_owned);
        let packages =
            array(&metadata["packages"]).iter().filter_map(|of| Some((id(of)?, of.clone()))).collect();
        let needs = array(&metadata["resolve"]["nodes"])
            .iter()
            .filter_map(|node| Some((id(node)?, built_in(node))))
            .collect();
        let lock = fs::read_to_string(place::root()?.join("Cargo.lock")).context("cannot read Cargo.lock")?;
        Ok(Tree { packages, needs, digests: digests(&lock) })
    }

    fn root(&self, package: &str) -> anyhow::Result<&String> {
        let is_ours = |of: &Value| of["name"] == package && of["source"].is_null();
        let found = self.packages.iter().find(|(_, of)| is_ours(of));
        found.map(|(id, _)| id).with_context(|| format!("there is no package `{package}`"))
    }

    /// The packages that are built into one, itself not counted.
    fn parts(&self, package: &str) -> anyhow::Result<BTreeSet<&String>> {
        let mut parts = BTreeSet::new();
        let mut next = vec![self.root(package)?];
        while let Some(id) = next.pop() {
            for need in self.needs.get(id).into_iter().flatten() {
                if parts.insert(need) {
                    next.push(need);
                }
            }
        }
        Ok(parts)
    }

    fn bill(&self, program: &str, package: &str, parts: &BTreeSet<&String>) -> anyhow::Result<Value> {
        let root = self.root(package)?;
        let mut dependencies = Vec::new();
        for id in std::iter::once(root).chain(parts.iter().copied()) {
            let needs: BTreeSet<String> =
                self.needs.get(id).into_iter().flatten().map(|need| self.name(need)).collect();
            dependencies.push(json!({ "ref": self.name(id), "dependsOn": needs }));
        }
        Ok(json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": { "component": {
                "type": "application", "bom-ref": self.name(root), "name": program, "version": self.packages[root]["version"],
            } },
            "components": parts.iter().map(|id| self.component(id)).collect::<Vec<_>>(),
            "dependencies": dependencies,
        }))
    }

    fn component(&self, id: &str) -> Value {
        let package = &self.packages[id];
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let mut component = json!({
            "type": "library", "bom-ref": self.name(id), "name": text("name"), "version": text("version"),
            // What makes code while the program is built is no part of it.
            "scope": if is_macro(package) { "excluded" } else { "required" },
            "licenses": [match package["license"].as_str() {
                Some(_) => json!({ "expression": licence(package) }),
                None => json!({ "license": { "name": licence(package) } }),
            }],
        });
        if !package["source"].is_null() {
            component["purl"] = json!(self.name(id));
        }
        if let Some(digest) = self.digests.get(&(text("name"), text("version"))) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": digest }]);
        }
        if let Some(repository) = package["repository"].as_str() {
            component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
        }
        component
    }

    /// The package URL, which is how other tools name a crate.
    fn name(&self, id: &str) -> String {
        let package = &self.packages[id];
        let text = |field: &str| package[field].as_str().unwrap_or_default();
        format!("pkg:cargo/{}@{}", text("name"), text("version"))
    }

    /// Each crate with its licence, then the texts, each once with the crates that bring it.
    fn licences(&self, program: &str, parts: &BTreeSet<&String>) -> anyhow::Result<String> {
        let mut list =
            format!("What {program} is built of beside our own code, and under which licences.\n\n");
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in parts {
            let package = &self.packages[*id];
            if package["source"].is_null() {
                continue;
            }
            let name = self.name(id).trim_start_matches("pkg:cargo/").to_owned();
            // Writing into a string can't fail.
            let _ = writeln!(list, "{name}: {}", licence(package));
            let folder = package["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
            for text in licence_texts(folder.context("cargo names no folder")?)? {
                texts.entry(text).or_default().push(name.clone());
            }
        }
        for (text, names) in &texts {
            let _ = write!(list, "\n{}\n{}\n\n{}\n", "-".repeat(80), names.join(", "), text.trim_end());
        }
        Ok(list)
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What a node of the graph needs in the program itself: neither for its tests nor for its build script.
fn built_in(node: &Value) -> Vec<String> {
    let is_built_in = |need: &&Value| array(&need["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
    let needs = array(&node["deps"]).iter().filter(is_built_in);
    needs.filter_map(|need| need["pkg"].as_str().map(ToOwned::to_owned)).collect()
}

fn is_macro(package: &Value) -> bool {
    array(&package["targets"])
        .iter()
        .any(|target| array(&target["kind"]).iter().any(|kind| kind == "proc-macro"))
}

/// As SPDX writes it; some crates still separate their licences by a slash.
fn licence(package: &Value) -> String {
    match (package["license"].as_str(), package["license_file"].as_str()) {
        (Some(expression), _) => expression.replace('/', " OR "),
        (None, Some(file)) => format!("as its file {file} says"),
        (None, None) => "unknown".to_owned(),
    }
}

/// Out of `Cargo.lock`, which writes a field to a line.
fn digests(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |block: &str, name: &str| {
        let begin = format!("{name} = \"");
        block.lines().find_map(|line| Some(line.strip_prefix(&begin)?.trim_end_matches('"').to_owned()))
    };
    let of =
        |block: &str| Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?));
    lock.split("[[package]]").filter_map(of).collect()
}

fn licence_texts(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
        let is_text = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|word| name.starts_with(word));
        let about = entry.metadata()?;
        if is_text && about.is_file() && about.len() <= TEXT_BYTES_MAX {
            let bytes = fs::read(entry.path())?;
            texts.push(String::from_utf8_lossy(&bytes).replace("\r\n", "\n").trim().to_owned());
        }
    }
    Ok(texts)
}

/// What programs are built for here, as the compiler names it.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run `rustc`")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(ToOwned::to_owned).context("`rustc -vV` names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_program_is_named_with_its_digest_and_its_licence() {
        let tree = Tree::read().unwrap();
        for (program, package) in PROGRAMS {
            let bill = tree.bill(program, package, &tree.parts(package).unwrap()).unwrap();
            let components = array(&bill["components"]);
            let names: BTreeSet<&str> = components.iter().filter_map(|of| of["name"].as_str()).collect();
            assert!(names.contains("rustls") && names.contains("libsqlite3-sys"), "{program}: {names:?}");
            assert!(!names.contains("proptest") && !names.contains("tempfile"), "{program} is no test");
            for of in components.iter().filter(|of| of["purl"].is_string()) {
                assert_eq!(of["hashes"][0]["content"].as_str().unwrap().len(), 64, "{of}");
                assert!(!of["licenses"].to_string().contains("unknown"), "{of}");
            }
            let named = |of: &Value| of.as_str().unwrap().to_owned();
            let all = components.iter().chain([&bill["metadata"]["component"]]);
            let refs: BTreeSet<String> = all.map(|of| named(&of["bom-ref"])).collect();
            assert_eq!(refs.len(), components.len() + 1, "{program}: each is named once");
            for edge in array(&bill["dependencies"]) {
                assert!(refs.contains(&named(&edge["ref"])));
                assert!(array(&edge["dependsOn"]).iter().all(|to| refs.contains(&named(to))), "{edge}");
            }
        }
    }

    #[test]
    fn the_licences_of_all_parts_come_with_their_texts() {
        let folder = std::env::temp_dir().join(format!("shopsmart-sbom-{}", std::process::id()));
        assert_eq!(write(&folder).unwrap().len(), 2 * PROGRAMS.len());
        let text = fs::read_to_string(folder.join("store-agent.licences.txt")).unwrap();
        assert!(text.contains("\ntokio@") && text.contains("Permission is hereby granted"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
