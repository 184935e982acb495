//! What changes in a file, line by line, for people.

use crate::domain::text;
use std::fmt::Write as _;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

/// Largest table of the comparison; beyond it all lines between the first and the last that differ are
/// shown as changed.
const MAX_CELLS: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Keep(usize, usize),
    Remove(usize),
    Insert(usize),
}

/// A unified diff, empty where nothing differs; `None` is a file that is not there. What is not visible is
/// escaped.
pub(super) fn unified(name: &str, before: Option<&str>, after: Option<&str>) -> String {
    if before == after {
        return String::new();
    }
    let old: Vec<&str> = before.unwrap_or_default().lines().collect();
    let new: Vec<&str> = after.unwrap_or_default().lines().collect();
    let ops = compare(&old, &new);
    let shown = text::escape(name.as_bytes());
    let side = |text: Option<&str>, mark: &str| match text {
        Some(_) => format!("{mark} {shown}\n"),
        None => format!("{mark} /dev/null\n"),
    };
    let mut out = side(before, "---") + &side(after, "+++");
    let mut at = 0;
    while at < ops.len() {
        if matches!(ops[at], Op::Keep(..)) {
            at += 1;
            continue;
        }
        // A hunk: up to the first run of unchanged lines that is longer than two contexts.
        let (start, mut end, mut quiet, mut next) = (at.saturating_sub(CONTEXT), at + 1, 0, at + 1);
        while next < ops.len() && quiet <= 2 * CONTEXT {
            if matches!(ops[next], Op::Keep(..)) {
                quiet += 1;
            } else {
                quiet = 0;
                end = next + 1;
            }
            next += 1;
        }
        let stop = (end + CONTEXT).min(ops.len());
        hunk(&mut out, &ops[..start], &ops[start..stop], &old, &new);
        at = stop;
    }
    out
}

fn hunk(out: &mut String, skipped: &[Op], ops: &[Op], old: &[&str], new: &[&str]) {
    let olds = |ops: &[Op]| ops.iter().filter(|op| !matches!(op, Op::Insert(_))).count();
    let news = |ops: &[Op]| ops.iter().filter(|op| !matches!(op, Op::Remove(_))).count();
    let range = |skipped: usize, count: usize| match count {
        0 => format!("{skipped},0"),
        1 => format!("{}", skipped + 1),
        _ => format!("{},{count}", skipped + 1),
    };
    let (from, to) = (range(olds(skipped), olds(ops)), range(news(skipped), news(ops)));
    let _ = writeln!(out, "@@ -{from} +{to} @@");
    for op in ops {
        let (mark, line) = match op {
            Op::Keep(index, _) => (' ', old[*index]),
            Op::Remove(index) => ('-', old[*index]),
            Op::Insert(index) => ('+', new[*index]),
        };
        let _ = writeln!(out, "{mark}{}", text::escape(line.as_bytes()));
    }
}

fn compare(old: &[&str], new: &[&str]) -> Vec<Op> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let mut ops: Vec<Op> = (0..head).map(|index| Op::Keep(index, index)).collect();
    let (rows, columns) = (old_end - head, new_end - head);
    if rows.saturating_mul(columns) > MAX_CELLS {
        ops.extend((head..old_end).map(Op::Remove));
        ops.extend((head..new_end).map(Op::Insert));
    } else {
        // The length of the longest common subsequence of what follows, from the end.
        let width = columns + 1;
        let mut longest = vec![0_u32; (rows + 1) * width];
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                longest[row * width + column] = if old[head + row] == new[head + column] {
                    longest[(row + 1) * width + column + 1] + 1
                } else {
                    longest[(row + 1) * width + column].max(longest[row * width + column + 1])
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows || column < columns {
            let same = row < rows && column < columns && old[head + row] == new[head + column];
            let down = row < rows
                && (column == columns
                    || longest[(row + 1) * width + column] >= longest[row * width + column + 1]);
            if same {
                ops.push(Op::Keep(head + row, head + column));
                row += 1;
                column += 1;
            } else if down {
                ops.push(Op::Remove(head + row));
                row += 1;
            } else {
                ops.push(Op::Insert(head + column));
                column += 1;
            }
        }
    }
    ops.extend((0..tail).map(|index| Op::Keep(old_end + index, new_end + index)));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_changes_with_three_lines_around() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n";
        let after = before.replace("5\n", "five\n").replace("16\n", "16\nlast\n");
        // "15" holds a 5 as well.
        let after = after.replace("1five\n", "15\n");
        assert_eq!(
            unified("a.toml", Some(before), Some(&after)),
            "--- a.toml\n+++ a.toml\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
             @@ -14,3 +14,4 @@\n 14\n 15\n 16\n+last\n"
        );
        assert_eq!(unified("a", Some("x\n"), Some("x\n")), "");
        assert_eq!(unified("a", None, Some("x\n")), "--- /dev/null\n+++ a\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(unified("a", Some("x\ny\n"), None), "--- a\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x\n-y\n");
        assert!(unified("a", None, Some("x\u{1b}[2J\n")).contains("+x\\x1b[2J"));
    }
}
