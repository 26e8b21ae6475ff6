//! The workspace's text files in memory, so that a check needs no file system and a test no folder.

use anyhow::Context;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const TEXT: [&str; 7] = ["rs", "md", "toml", "sql", "svg", "json", "lock"];
const SKIPPED: [&str; 4] = ["target", "fuzz-target", "corpus", "artifacts"];

/// Text files by path from the root, with `/`. Other files are there with empty text, so that links to them resolve.
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    pub fn read(root: &Path) -> anyhow::Result<Tree> {
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files)?;
        Ok(Tree { files })
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// True for a file and for a folder that holds one.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// Files under a folder (`""` for all) with an ending, as path and text.
    pub fn files<'a>(&'a self, under: &'a str, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(under) && path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn read_folder(folder: &Path, path: &str, files: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list `{}`", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let kind = entry.file_type().with_context(|| format!("cannot look at `{path}`"))?;
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && name != ".git" {
                read_folder(&entry.path(), &path, files)?;
            }
        } else {
            let text = read_text(&entry.path(), &name)?;
            files.insert(path, text);
        }
    }
    Ok(())
}

fn read_text(file: &Path, name: &str) -> anyhow::Result<String> {
    let is_text = name.rsplit_once('.').is_some_and(|(_, ending)| TEXT.contains(&ending));
    if !is_text {
        return Ok(String::new());
    }
    fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}
