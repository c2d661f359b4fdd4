//! The census of a tree of scripts: copies by content and by name, what replaces them, and how many
//! lines could go.

use std::collections::{BTreeMap, BTreeSet};

use super::{Old, Used};

/// A script that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// Where, from the top of the tree.
    pub path: String,
    /// The SHA-256 of its content.
    pub sha256: [u8; 32],
    /// Its lines.
    pub lines: u64,
}

impl Found {
    /// Its file name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// Files with the same content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Copies {
    /// The SHA-256 of the content.
    pub sha256: [u8; 32],
    /// The lines of each.
    pub lines: u64,
    /// Where they are, in order; at least two.
    pub paths: Vec<String>,
}

/// Files with the same name in several directories.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Namesakes {
    /// The name.
    pub name: String,
    /// How many files have it; at least two.
    pub files: u64,
    /// How many contents they have.
    pub contents: u64,
}

/// An old script that is known, wherever it lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// What it was and what replaces it.
    pub old: Old,
    /// Whether that is in this version.
    pub here: bool,
    /// How many files have its name.
    pub files: u64,
    /// Their lines, all together.
    pub lines: u64,
}

/// Lines, counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lines {
    /// Of all scripts.
    pub total: u64,
    /// Of copies beyond the first of each content.
    pub copied: u64,
    /// Of known scripts whose replacement is in this version.
    pub replaced: u64,
    /// Of known scripts whose replacement is planned.
    pub planned: u64,
    /// That could go now: those replaced, and of all others the copies beyond the first.
    pub removable: u64,
}

/// The census.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// How many scripts there are.
    pub scripts: u64,
    /// How many contents they have.
    pub distinct: u64,
    /// Their lines.
    pub lines: Lines,
    /// Same content: where most lines could be saved first.
    pub copies: Vec<Copies>,
    /// Same name: those with most files first.
    pub namesakes: Vec<Namesakes>,
    /// Known scripts by name.
    pub known: Vec<Known>,
    /// The others, by path.
    pub unknown: Vec<Found>,
}

/// Counts. `is_here` tells whether this version has the command that stands for a script.
#[must_use]
pub fn count(mut found: Vec<Found>, is_here: &dyn Fn(&Old) -> bool) -> Census {
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let old_scripts: BTreeMap<&str, Old> =
        super::all().filter(|old| old.used == Used::Script).map(|old| (old.name, old)).collect();
    let mut census = Census { scripts: found.len() as u64, ..Census::default() };
    let mut contents: BTreeMap<[u8; 32], (Copies, u64)> = BTreeMap::new();
    let mut names: BTreeMap<&str, (u64, BTreeSet<[u8; 32]>)> = BTreeMap::new();
    let mut known: BTreeMap<&'static str, Known> = BTreeMap::new();
    for file in &found {
        census.lines.total += file.lines;
        let same = names.entry(file.name()).or_default();
        same.0 += 1;
        same.1.insert(file.sha256);
        let mut stays = true;
        if let Some(&old) = old_scripts.get(file.name()) {
            let here = is_here(&old);
            let row = known.entry(old.name).or_insert(Known { old, here, files: 0, lines: 0 });
            row.files += 1;
            row.lines += file.lines;
            if here {
                census.lines.replaced += file.lines;
                stays = false;
            } else {
                census.lines.planned += file.lines;
            }
        }
        let empty = || Copies { sha256: file.sha256, lines: file.lines, paths: Vec::new() };
        let (copies, staying) = contents.entry(file.sha256).or_insert_with(|| (empty(), 0));
        copies.paths.push(file.path.clone());
        *staying += u64::from(stays);
    }
    census.distinct = contents.len() as u64;
    census.lines.removable = census.lines.replaced;
    for (copies, staying) in contents.into_values() {
        let more = copies.paths.len() as u64 - 1;
        census.lines.copied += copies.lines * more;
        census.lines.removable += copies.lines * staying.saturating_sub(1);
        if more > 0 {
            census.copies.push(copies);
        }
    }
    let saved = |c: &Copies| c.lines * (c.paths.len() as u64 - 1);
    census.copies.sort_by(|a, b| saved(b).cmp(&saved(a)).then_with(|| a.paths.cmp(&b.paths)));
    for (name, (files, contents)) in names {
        if files > 1 {
            let (name, contents) = (name.to_owned(), contents.len() as u64);
            census.namesakes.push(Namesakes { name, files, contents });
        }
    }
    census.namesakes.sort_by(|a, b| b.files.cmp(&a.files).then_with(|| a.name.cmp(&b.name)));
    census.known = known.into_values().collect();
    found.retain(|file| !old_scripts.contains_key(file.name()));
    census.unknown = found;
    census
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: u8, lines: u64) -> Found {
        Found { path: path.to_owned(), sha256: [content; 32], lines }
    }

    #[test]
    fn what_is_replaced_goes_whole_and_of_the_rest_one_copy_stays() {
        let files = vec![
            // Replaced, in two contents.
            file("a/worker_001.sh", 1, 10),
            file("b/worker_001.sh", 2, 20),
            // Unknown, three times the same, once with a content that is replaced.
            file("x.sh", 3, 100),
            file("y.sh", 3, 100),
            file("c/x.sh", 3, 100),
            file("d.sh", 1, 10),
            // Planned, twice the same.
            file("a/server", 4, 7),
            file("b/server", 4, 7),
        ];
        let census = count(files, &|old| old.name == "worker_001.sh");
        assert_eq!((census.scripts, census.distinct), (8, 4));
        let lines = Lines {
            total: 354,
            copied: 200 + 10 + 7,
            replaced: 30,
            planned: 14,
            removable: 30 + 200 + 7,
        };
        assert_eq!(census.lines, lines);
        let copies: Vec<_> = census.copies.iter().map(|c| c.paths.join(" ")).collect();
        assert_eq!(copies, ["c/x.sh x.sh y.sh", "a/worker_001.sh d.sh", "a/server b/server"]);
        let names: Vec<_> =
            census.namesakes.iter().map(|n| (n.name.as_str(), n.files, n.contents)).collect();
        assert_eq!(names, [("server", 2, 1), ("worker_001.sh", 2, 2), ("x.sh", 2, 1)]);
        let known: Vec<_> = census.known.iter().map(|k| (k.old.name, k.here, k.files)).collect();
        assert_eq!(known, [("server", false, 2), ("worker_001.sh", true, 2)]);
        let unknown: Vec<_> = census.unknown.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(unknown, ["c/x.sh", "d.sh", "x.sh", "y.sh"]);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(count(Vec::new(), &|_| true), Census::default());
    }
}
