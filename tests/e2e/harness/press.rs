//! Head office's desk for releases: keys, manifests and signatures, made with the same `minisign` that people use.

use super::binary;
use super::scene::{Scene, copy_folder};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What one release is to be.
#[derive(Clone)]
pub struct Spec {
    pub version: &'static str,
    pub sequence: u64,
    /// In the place of the real agent.
    pub script: Option<String>,
    pub expires: &'static str,
    pub keys_sequence: u64,
    pub keys_expires: &'static str,
}

impl Spec {
    pub fn of(version: &'static str, sequence: u64) -> Spec {
        let far = "2099-01-01T00:00:00Z";
        Spec { version, sequence, script: None, expires: far, keys_sequence: 1, keys_expires: far }
    }

    /// Its agent is a script that says of itself what an agent says, lets agents of the schema `oldest` in, asks `agent` for the rest, and runs
    /// as the caller says.
    pub fn scripted(version: &'static str, sequence: u64, agent: &Path, oldest: u64, run: &str) -> Spec {
        let real = agent.display();
        let script = format!(
            "#!/bin/sh\ncase \"$1 $2\" in\n\
             'version --json') echo '{{\"version\":\"{version}\",\"schemas\":{{\"agent\":{{\"version\":6,\"oldest\":{oldest}}},\"people\":{{\"version\":3,\"oldest\":3}}}}}}' ;;\n\
             'version '*) echo 'store-agent {version}' ;;\n\
             'run '*) {run} ;;\n\
             *) exec {real} \"$@\" ;;\nesac\n"
        );
        Spec { script: Some(script), ..Spec::of(version, sequence) }
    }
}

/// One chain's keys and the programs it has built.
pub struct Press {
    folder: PathBuf,
    agent: PathBuf,
    storectl: PathBuf,
}

impl Press {
    pub fn open(scene: &Scene, name: &str, agent: &Path) -> Press {
        let folder = scene.join(&format!("press-{name}"));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let storectl = folder.join("storectl");
        let stripped = Command::new("strip").arg("-o").arg(&storectl).arg(binary("storectl")).status();
        assert!(stripped.expect("binutils are there").success());
        let press = Press { folder, agent: agent.to_owned(), storectl };
        for key in ["root", "release"] {
            let (public, secret) = (press.file(key, "pub"), press.file(key, "key"));
            minisign(&["-G", "-W", "-f", "-p", &public, "-s", &secret]);
        }
        press
    }

    /// The file that says whose releases count.
    pub fn roots(&self) -> String {
        fs::read_to_string(self.file("root", "pub")).expect("minisign has made it")
    }

    /// A signed release in a folder of its own.
    pub fn release(&self, name: &str, spec: &Spec) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let agent = match &spec.script {
            Some(script) => script.clone().into_bytes(),
            None => self.agent_of_version(spec.version),
        };
        let storectl = fs::read(&self.storectl).expect("it was built");
        let mut artefacts = Vec::new();
        for (program, bytes) in [("store-agent", agent), ("storectl", storectl)] {
            let file = format!("{program}-{}", target());
            let path = folder.join(&file);
            fs::write(&path, &bytes).expect("a file can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
            artefacts.push(json!({
                "name": program, "target": target(), "file": file, "size": bytes.len(), "sha256": sha256(&bytes),
            }));
        }
        let manifest = json!({
            "format": "shopsmart-release/1", "version": spec.version, "sequence": spec.sequence, "expires": spec.expires,
            "artefacts": artefacts,
        });
        let keys = json!({
            "format": "shopsmart-release-keys/1", "sequence": spec.keys_sequence, "expires": spec.keys_expires,
            "keys": [self.public_line("release")],
        });
        self.sign(&folder, "release.json", &manifest, "release");
        self.sign(&folder, "keys.json", &keys, "root");
        folder
    }

    /// What head office's own command makes of the programs as they were built: a bundle.
    pub fn bundle_by_xtask(&self, sequence: u64) -> PathBuf {
        let signed = self.release("for-its-keys", &Spec::of("0.1.0", sequence));
        let programs = self.folder.join("built");
        fs::create_dir_all(&programs).expect("a folder can be made");
        fs::copy(&self.agent, programs.join("store-agent")).expect("it was built");
        fs::copy(&self.storectl, programs.join("storectl")).expect("it was built");
        let out = self.folder.join("shopsmart");
        let made = Command::new(binary("xtask"))
            .args([
                "release",
                "--sequence",
                &sequence.to_string(),
                "--expires",
                "2099-01-01T00:00:00Z",
                "--key",
            ])
            .arg(self.file("release", "key"))
            .arg("--keys")
            .arg(signed.join("keys.json"))
            .arg("--programs")
            .arg(programs)
            .arg("--out")
            .arg(&out)
            .stdin(Stdio::null())
            .output()
            .expect("a built binary starts");
        assert!(made.status.success(), "{made:?}");
        out.with_extension("tar")
    }

    /// Another release that differs in its manifest, signed as it should be.
    pub fn changed(&self, from: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let folder = self.copied(from, name);
        let text = fs::read(folder.join("release.json")).expect("it is there");
        let mut manifest = serde_json::from_slice(&text).expect("it is JSON");
        change(&mut manifest);
        self.sign(&folder, "release.json", &manifest, "release");
        folder
    }

    /// A copy to be spoiled.
    pub fn copied(&self, from: &Path, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        copy_folder(from, &folder);
        folder
    }

    pub fn sign(&self, folder: &Path, name: &str, text: &Value, key: &str) {
        let path = folder.join(name);
        fs::write(&path, text.to_string()).expect("a file can be written");
        minisign(&["-S", "-s", &self.file(key, "key"), "-m", path.to_str().expect("a path is text")]);
    }

    /// As somebody brings it on a stick.
    pub fn bundle(&self, release: &Path) -> PathBuf {
        let bundle = release.with_extension("tar");
        let packed = Command::new("tar").arg("-cf").arg(&bundle).arg("-C").arg(release).arg(".").status();
        assert!(packed.expect("tar is there").success());
        bundle
    }

    /// The real agent under another version: the program holds its own behind a mark.
    fn agent_of_version(&self, version: &str) -> Vec<u8> {
        let mut program = fs::read(&self.agent).expect("it was built");
        let mark = format!("store-agent-version:{}", env!("CARGO_PKG_VERSION"));
        let new = format!("store-agent-version:{version}");
        assert_eq!(mark.len(), new.len(), "the versions of the tests are equally long");
        let at = program
            .windows(mark.len())
            .position(|window| window == mark.as_bytes())
            .expect("the mark is there");
        program[at..at + new.len()].copy_from_slice(new.as_bytes());
        program
    }

    /// The second line of the public key's file.
    fn public_line(&self, key: &str) -> String {
        let text = fs::read_to_string(self.file(key, "pub")).expect("minisign has made it");
        text.lines().nth(1).expect("it has two lines").to_owned()
    }

    fn file(&self, key: &str, kind: &str) -> String {
        self.folder.join(format!("{key}.{kind}")).to_str().expect("a path is text").to_owned()
    }
}

fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn minisign(args: &[&str]) {
    let output =
        Command::new("minisign").args(args).stdin(Stdio::null()).output().expect("minisign is there");
    assert!(output.status.success(), "minisign {args:?}: {output:?}");
}
