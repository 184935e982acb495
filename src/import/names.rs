//! Names of rulesets.

use std::collections::BTreeSet;

/// Longest name, without what makes it unique.
const LONGEST: usize = 80;

/// A name that a ruleset can have and no other has, as near to the wanted one as can be.
pub(super) fn unique(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let mut base = String::new();
    for c in wanted.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => base.push(c),
            c @ ('.' | '_' | '-') if !base.is_empty() => base.push(c),
            _ if !base.is_empty() && !base.ends_with('-') => base.push('-'),
            _ => {}
        }
        if base.len() >= LONGEST {
            break;
        }
    }
    let base = base.trim_end_matches('-');
    let base = match base {
        "" => "imported".to_owned(),
        "builtin" | "default" => format!("imported-{base}"),
        base => base.to_owned(),
    };
    let mut name = base.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_and_unique() {
        let mut taken = BTreeSet::new();
        let mut name = |wanted: &str| unique(wanted, &mut taken);
        assert_eq!(name("Main branch / protection!"), "main-branch-protection");
        assert_eq!(name("main branch protection"), "main-branch-protection-2");
        assert_eq!(name("default"), "imported-default");
        assert_eq!(name("\u{202e}\n"), "imported");
        assert_eq!(name("--x"), "x");
        assert!(name(&"a".repeat(1000)).len() <= 100);
    }
}
