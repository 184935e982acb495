//! The part of YAML that manifests are written in, JSON among it: mappings, lists and scalars. Anchors,
//! aliases, tags and keys that stand twice are refused, so that a document means what it shows.

use saphyr_parser::{Event, Parser, Span};

/// Largest document that is read, in bytes: a ConfigMap or Secret holds at most 1 MiB.
pub(super) const MAX_LEN: usize = 4 << 20;
/// Most values in a file.
const MAX_NODES: usize = 100_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// Why a document is not read. No message repeats its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key, with the key.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    /// The entries of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// The documents of a file.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, Fault> {
    if text.len() > MAX_LEN {
        return Err(Fault { line: 0, column: 0, message: "the file is larger than 4 MiB".to_owned() });
    }
    if let Some((line, column)) = tab(text) {
        let message = "a tab indents this line, and programs differ about how far: write blanks".to_owned();
        return Err(Fault { line, column, message });
    }
    let mut reader = Reader { events: Parser::new_from_str(text), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                documents.push(reader.node(event, span, 0)?);
            }
            _ => {}
        }
    }
}

/// Where a tab indents a line. YAML forbids it and the parser does not see all of them. JSON is indented as one likes:
/// there braces say what belongs to what.
fn tab(text: &str) -> Option<(usize, usize)> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']) {
        return None;
    }
    let indents = |line: &str| line.find(|c| c != ' ').filter(|at| line[*at..].starts_with('\t'));
    let blank = |line: &str| line.trim().is_empty();
    text.lines()
        .enumerate()
        .find_map(|(number, line)| indents(line).filter(|_| !blank(line)).map(|at| (number + 1, at + 1)))
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    nodes: usize,
}

fn fault(span: Span, message: &str) -> Fault {
    Fault { line: span.start.line(), column: span.start.col() + 1, message: message.to_owned() }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.events.next() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let mark = error.marker();
                let message = "this is not YAML".to_owned();
                Err(Fault { line: mark.line(), column: mark.col() + 1, message })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(fault(span, "the file has more than 100000 values"));
        }
        if depth > MAX_DEPTH {
            return Err(fault(span, "this is nested more than 32 deep"));
        }
        let made = |value| Node { line: span.start.line(), column: span.start.col() + 1, value };
        match event {
            Event::Scalar(text, _, anchor, tag) => {
                plain(anchor, tag.is_some(), span)?;
                Ok(made(Value::Scalar(text.into_owned())))
            }
            Event::SequenceStart(anchor, tag) => {
                plain(anchor, tag.is_some(), span)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => return Ok(made(Value::List(items))),
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, tag) => {
                plain(anchor, tag.is_some(), span)?;
                let mut entries: Vec<(Node, Node)> = Vec::new();
                let mut known = std::collections::HashSet::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::MappingEnd {
                        return Ok(made(Value::Map(entries)));
                    }
                    let key = self.node(event, span, depth + 1)?;
                    let Some(name) = key.text() else {
                        return Err(fault(span, "a key is a plain word"));
                    };
                    if name == "<<" {
                        return Err(fault(span, "merge keys are not read here"));
                    }
                    if !known.insert(name.to_owned()) {
                        return Err(fault(span, "this key is there twice"));
                    }
                    let (event, span) = self.next()?;
                    entries.push((key, self.node(event, span, depth + 1)?));
                }
            }
            Event::Alias(_) => Err(fault(span, "aliases are not read here: write the value out")),
            _ => Err(fault(span, "the document ends too early")),
        }
    }
}

fn plain(anchor: usize, tagged: bool, span: Span) -> Result<(), Fault> {
    if anchor != 0 {
        return Err(fault(span, "anchors are not read here: write the value out"));
    }
    if tagged {
        return Err(fault(span, "tags are not read here"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn manifests_and_json_are_read() {
        let yaml =
            "# c\nkind: Secret\ndata:\n  a.asc: |\n    one\n    two\n  b: \"x\\ny\"\nlist: [1, {k: v}]\n";
        let json = "{\"kind\": \"Secret\", \"data\": {\"a.asc\": \"one\\ntwo\\n\", \"b\": \"x\\ny\"},\n \"list\": [1, {\"k\": \"v\"}]}";
        for text in [yaml, json] {
            let all = parse(text).unwrap();
            assert_eq!(all.len(), 1);
            assert_eq!(all[0].get("kind").unwrap().text(), Some("Secret"));
            let data = all[0].get("data").unwrap();
            assert_eq!(data.get("a.asc").unwrap().text(), Some("one\ntwo\n"));
            assert_eq!(data.get("b").unwrap().text(), Some("x\ny"));
        }
        assert_eq!((parse(yaml).unwrap()[0].get("data").unwrap().entries()[1].0.line), 7);
        assert_eq!(parse("a: b\n---\nc: d\n").unwrap().len(), 2);
        assert!(parse("").unwrap().is_empty());
        // JSON is indented as one likes, and within a line a tab is a blank.
        assert_eq!(parse("{\n\t\"a\": \"b\"\n}\n").unwrap()[0].get("a").unwrap().text(), Some("b"));
        assert_eq!(parse("a: b \t# c\n \t\n").unwrap()[0].get("a").unwrap().text(), Some("b"));
    }

    #[test]
    fn what_does_not_mean_what_it_shows_is_refused_with_its_place() {
        for (text, line, column, wanted) in [
            ("a: &x 1\nb: *x\n", 1, 4, "anchors"),
            ("a: !!binary aGk=\n", 1, 4, "tags"),
            ("a: 1\nb: 2\na: 3\n", 3, 1, "twice"),
            ("a: {<<: {b: c}}\n", 1, 5, "merge"),
            ("? [a]\n: b\n", 1, 3, "plain word"),
            ("a: [1, 2\n", 0, 0, "not YAML"),
            ("a: 'x\n", 0, 0, "not YAML"),
            ("a:\n\tb: c\n", 2, 1, "a tab indents"),
            ("a:\n  \tb: c\n", 2, 3, "a tab indents"),
            ("a:\n  - b\n \t- c\n", 3, 2, "a tab indents"),
            ("---\na: |\n\tx\n", 3, 1, "a tab indents"),
        ] {
            let seen = parse(text).unwrap_err();
            assert!(seen.message.contains(wanted), "{text:?}: {seen:?}");
            assert!(line == 0 || (seen.line, seen.column) == (line, column), "{text:?}: {seen:?}");
        }
    }

    #[test]
    fn hostile_documents_end_soon() {
        let begin = std::time::Instant::now();
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..30 {
            laughs.push_str(&format!("a{n}: &a{n} [*a{0},*a{0},*a{0},*a{0},*a{0}]\n", n - 1));
        }
        let deep = "[".repeat(1 << 20);
        let deep_block: String = (0..2000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        let braces = "{a: ".repeat(1 << 18);
        let dashes = "- ".repeat(1 << 20);
        let wide = "a,".repeat(1 << 20);
        let keys: String = (0..200_000).map(|n| format!("k{n}: v\n")).collect();
        let huge = "x".repeat(MAX_LEN + 1);
        let question = "? ".repeat(1 << 19);
        let colons = ":".repeat(1 << 20);
        let wide = format!("[{wide}]");
        let all = [&laughs, &deep, &deep_block, &braces, &dashes, &wide, &keys, &huge, &question, &colons];
        for (index, text) in all.into_iter().enumerate() {
            let part = std::time::Instant::now();
            let _ = parse(text).map(|_| assert_eq!(index, 9, "only colons are a word"));
            assert!(part.elapsed().as_secs() < 10, "{index}: {:?}", part.elapsed());
        }
        assert!(begin.elapsed().as_secs() < 30);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ \\t\\n:,\\[\\]{}&*!|>'\"#a-c%@?-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
