//! Histories made in bulk: long ones, and random ones whose dates lie.

use super::sandbox::Sandbox;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;

/// A small generator of numbers that are the same on every machine (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// How committer dates run.
#[derive(Clone, Copy, Debug)]
pub enum Dates {
    /// Parents are older than their children.
    Honest,
    /// Any order.
    Random,
    /// Parents are newer than their children.
    Reversed,
}

/// A history of which everything is known.
pub struct Dag {
    /// Ids in the order of creation: parents before children.
    pub ids: Vec<String>,
    /// Parents, by index.
    pub parents: Vec<Vec<usize>>,
}

impl Dag {
    /// A random history of `size` commits in `repository`, each held by a ref `refs/nodes/<index>`.
    pub fn random(sandbox: &Sandbox, repository: &Path, seed: u64, size: usize, dates: Dates) -> Self {
        let mut random = Random(seed);
        let mut parents: Vec<Vec<usize>> = Vec::new();
        for index in 0..size {
            let wanted = if index == 0 || random.below(15) == 0 { 0 } else { 1 + random.below(3) };
            let mut chosen = Vec::new();
            for _ in 0..wanted {
                // Mostly near ones, so that the history is deep, and now and then any.
                let reach = if random.below(4) == 0 { index } else { index.min(6) };
                let parent = index - 1 - random.below(reach);
                if !chosen.contains(&parent) {
                    chosen.push(parent);
                }
            }
            parents.push(chosen);
        }
        let mut stream = String::new();
        for (index, parents) in parents.iter().enumerate() {
            let date = 1_600_000_000
                + 100
                    * match dates {
                        Dates::Honest => index,
                        Dates::Random => random.below(size * 10),
                        Dates::Reversed => size - index,
                    };
            let name = format!("refs/nodes/{index}");
            commit(&mut stream, &name, index + 1, date, &format!("OPS-{} node", index + 1), parents);
        }
        let ids = import(sandbox, repository, &stream, size);
        Dag { ids, parents }
    }

    /// Everything that can be reached from `from`, itself included.
    pub fn closure(&self, from: &[usize]) -> HashSet<usize> {
        let mut seen: HashSet<usize> = from.iter().copied().collect();
        let mut stack = from.to_vec();
        while let Some(index) = stack.pop() {
            for parent in &self.parents[index] {
                if seen.insert(*parent) {
                    stack.push(*parent);
                }
            }
        }
        seen
    }

    /// Indexes by id.
    pub fn indexes(&self) -> HashMap<&str, usize> {
        self.ids.iter().enumerate().map(|(index, id)| (id.as_str(), index)).collect()
    }
}

/// Puts a straight line of commits on `reference` and gives their ids, oldest first.
pub fn line(sandbox: &Sandbox, repository: &Path, reference: &str, length: usize) -> Vec<String> {
    let mut stream = String::new();
    for index in 0..length {
        let parents: Vec<usize> = index.checked_sub(1).into_iter().collect();
        commit(
            &mut stream,
            reference,
            index + 1,
            1_600_000_000 + index,
            &format!("OPS-{} line", index + 1),
            &parents,
        );
    }
    import(sandbox, repository, &stream, length)
}

fn commit(stream: &mut String, name: &str, mark: usize, date: usize, message: &str, parents: &[usize]) {
    // A reset without a start makes the next commit a root, whatever the ref held before.
    let from: Vec<String> = parents.iter().map(|parent| format!(":{}", parent + 1)).collect();
    if from.is_empty() {
        writeln!(stream, "reset {name}").unwrap();
    }
    writeln!(stream, "commit {name}\nmark :{mark}").unwrap();
    writeln!(stream, "author A <a@example.com> {date} +0000").unwrap();
    writeln!(stream, "committer C <c@example.com> {date} +0000").unwrap();
    writeln!(stream, "data {}\n{message}", message.len()).unwrap();
    for (index, parent) in from.iter().enumerate() {
        writeln!(stream, "{} {parent}", if index == 0 { "from" } else { "merge" }).unwrap();
    }
    writeln!(stream, "M 100644 inline file-{mark}\ndata {}\n{message}\n", message.len()).unwrap();
}

fn import(sandbox: &Sandbox, repository: &Path, stream: &str, count: usize) -> Vec<String> {
    let marks = sandbox.path("marks");
    let option = format!("--export-marks={}", marks.display());
    sandbox
        .git_with_input(repository, &["fast-import", "--quiet", "--force", &option], stream.as_bytes())
        .ok();
    let text = std::fs::read_to_string(marks).unwrap();
    let mut ids = vec![String::new(); count];
    for line in text.lines() {
        let (mark, id) = line.split_once(' ').unwrap();
        ids[mark[1..].parse::<usize>().unwrap() - 1] = id.to_owned();
    }
    assert!(ids.iter().all(|id| !id.is_empty()));
    ids
}
