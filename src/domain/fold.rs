//! Which names a file system may take for one: without regard to case (Unicode simple case folding) and
//! to canonical equivalence (NFC and NFD of the same text).

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

/// A key that is the same for two names if, and only if, they differ in nothing but case and
/// normalization form. Bytes that are not UTF-8 stand for themselves. The key is for comparing only,
/// it is not a name.
pub fn fold_name(name: &[u8]) -> Cow<'_, [u8]> {
    if name.is_ascii() {
        return if name.iter().any(u8::is_ascii_lowercase) {
            Cow::Owned(name.to_ascii_uppercase())
        } else {
            Cow::Borrowed(name)
        };
    }
    let mut out = Vec::with_capacity(name.len());
    let mut utf8 = [0_u8; 4];
    for chunk in name.utf8_chunks() {
        // Decomposed before as well as after: some characters fold only once they are taken apart.
        for c in chunk.valid().nfd().map(fold).nfd() {
            out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
    Cow::Owned(out)
}

/// The smallest of the characters that differ from `c` in case only.
fn fold(c: char) -> char {
    if c.is_ascii() { c.to_ascii_uppercase() } else { FOLDED.get(&c).copied().unwrap_or(c) }
}

/// The last character that has a case; later ones are ideographs, tags and private use.
const LAST_CASED: char = '\u{1ffff}';

/// Everything that does not fold to itself.
static FOLDED: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let smallest = |c: char| {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        class.case_fold_simple();
        class.ranges().first().map_or(c, ClassUnicodeRange::start)
    };
    ('\u{80}'..=LAST_CASED).map(|c| (c, smallest(c))).filter(|(c, folded)| c != folded).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        fold_name(a.as_bytes()) == fold_name(b.as_bytes())
    }

    #[test]
    fn case_is_folded_in_every_script() {
        for (a, b) in [
            ("README", "readme"),
            ("Ärger", "äRGER"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ДОМ", "дом"),
            ("\u{212a}elvin", "kelvin"),
            ("\u{17f}et", "Set"),
            ("\u{1e9e}", "ß"),
            ("\u{10400}", "\u{10428}"),
            ("\u{13a0}", "\u{ab70}"),
        ] {
            assert!(same(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn normalization_forms_are_one() {
        assert!(same("caf\u{e9}", "cafe\u{301}"));
        assert!(same("CAF\u{c9}", "cafe\u{301}"));
        assert!(same("\u{212b}", "a\u{30a}"));
        assert!(same("\u{ac00}", "\u{1100}\u{1161}"));
        // The order of marks is part of the form.
        assert!(same("a\u{323}\u{307}", "A\u{307}\u{323}"));
    }

    #[test]
    fn different_names_stay_different() {
        for (a, b) in [("a", "b"), ("ı", "i"), ("ss", "ß"), ("e", "é"), ("a b", "a_b"), ("fi", "ﬁ")] {
            assert!(!same(a, b), "{a} and {b}");
        }
        assert_ne!(fold_name(b"\xff"), fold_name(b"\xfe"));
        assert_ne!(fold_name(b"\xe9"), fold_name("é".as_bytes()));
        assert_eq!(fold_name(b"A\xffb"), fold_name(b"a\xffB"));
    }

    #[test]
    fn nothing_beyond_the_last_cased_character_folds() {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new('\u{20000}', char::MAX)]);
        let before = class.clone();
        class.case_fold_simple();
        assert_eq!(class, before);
    }

    #[test]
    fn a_key_is_its_own_key() {
        for name in ["README", "äöü", "\u{390}\u{1fd3}", "\u{345}", "ΐ", "\u{1f80}\u{1fbe}"] {
            let key = fold_name(name.as_bytes()).into_owned();
            assert_eq!(fold_name(&key), key, "{name}");
        }
    }
}
