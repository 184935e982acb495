//! E-mail addresses, as far as two of them can be told to be one.

/// The form in which two addresses are equal if and only if they are one. What stands before the last `@`
/// is its host's to interpret, so it counts byte by byte; the host's name has no case in ASCII. `None` for
/// what has no `@` and so is nobody's. No mailmap, ever.
pub fn fold_address(email: &[u8]) -> Option<Vec<u8>> {
    let at = email.iter().rposition(|byte| *byte == b'@')?;
    let mut out = email.to_vec();
    out[at..].make_ascii_lowercase();
    Some(out)
}

/// Whether two addresses are one; see [`fold_address`].
pub fn same_address(one: &[u8], other: &[u8]) -> bool {
    let split = |email: &[u8]| email.iter().rposition(|byte| *byte == b'@');
    match (split(one), split(other)) {
        (Some(a), Some(b)) => one[..a] == other[..b] && one[a..].eq_ignore_ascii_case(&other[b..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_byte_by_byte_but_for_the_case_of_the_host() {
        let check = |own: &[u8], claimed: &[u8], one: bool| {
            let shown = (String::from_utf8_lossy(own), String::from_utf8_lossy(claimed));
            assert_eq!(same_address(own, claimed), one, "{shown:?}");
            assert_eq!(same_address(claimed, own), one, "{shown:?}");
            let folded = (fold_address(own), fold_address(claimed));
            assert_eq!(folded.0.is_some() && folded.0 == folded.1, one, "{shown:?}");
        };
        for (own, claimed, one) in [
            ("alice@example.org", "alice@example.org", true),
            ("alice@example.org", "alice@EXAMPLE.Org", true),
            ("alice@Example.ORG", "alice@example.org", true),
            ("alice@example.org", "Alice@example.org", false),
            ("alice@example.org", "alice@example.org ", false),
            ("alice@example.org", " alice@example.org", false),
            ("alice@example.org", "alice@example.org.", false),
            ("alice@example.org", "alice+x@example.org", false),
            ("alice@example.org", "alice@mail.example.org", false),
            ("alice@example.org", "x@alice@example.org", false),
            ("alice@example.org", "alice", false),
            ("alice@example.org", "", false),
            ("alice@example.org", "@example.org", false),
            // Letters that only look alike, and such as fold to ASCII by wider rules (the Kelvin sign).
            ("alice@example.org", "\u{430}lice@example.org", false),
            ("alice@kernel.org", "alice@\u{212a}ernel.org", false),
            ("\u{e9}@b\u{fc}cher.example", "\u{e9}@b\u{fc}cher.example", true),
            ("\u{e9}@b\u{fc}cher.example", "\u{e9}@b\u{dc}cher.example", false),
            ("", "", false),
        ] {
            check(own.as_bytes(), claimed.as_bytes(), one);
        }
        check(b"alice@example.org", b"alice@example.org\0", false);
        check(b"alice@example.org", b"alice@example.\xf2rg", false);
    }
}
