//! A decision as HTML: no script, no image, nothing from elsewhere.

use super::decisions::{DecisionPage, ObjectView, ViolationView, coverage_words, outcome_words};
use std::fmt::Write as _;

/// The only style. Its digest stands in [`POLICY`].
const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
code,td,dd{overflow-wrap:anywhere}table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2em .5em;\
text-align:left;vertical-align:top}";

/// The content security policy of these pages: the style above and nothing else.
pub const POLICY: &str = "default-src 'none'; style-src 'sha256-CfriDysrHcuoLI0rIb1eju7J3AsR/OV++WY10AnfCKY='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is said where there is nothing to be seen, whatever the reason.
pub const NOT_FOUND: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Not found</title>\
<h1>Not found</h1><p>There is no such decision, or it is not shown here.</p></html>\n";

impl DecisionPage {
    /// The page. Everything of a record is escaped.
    pub fn html(&self) -> String {
        let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">");
        out.push_str("<meta name=\"robots\" content=\"noindex\"><meta name=\"viewport\" content=\"width=device-width\">");
        let title = format!("{}: {}", self.repository, verdict(self.outcome));
        let _ = write!(out, "<title>{}</title><style>{STYLE}</style></head>\n<body>\n", escape(&title));
        let _ = writeln!(out, "<h1>{}</h1>\n<p>{}</p>", escape(&title), outcome_words(self.outcome));
        if let Some(cause) = &self.cause {
            let _ = writeln!(
                out,
                "<p>Cause: <code>{}</code>. It is tried again by itself; the operators of this \
                                   gate find more in its log.</p>",
                escape(cause)
            );
        }
        out.push_str("<dl>");
        entry(&mut out, "Seen", &self.received_at);
        entry(
            &mut out,
            "Pushed by",
            self.pusher.as_deref().unwrap_or("unknown: no event vouches for exactly this move"),
        );
        entry(&mut out, "Request", &self.request);
        out.push_str("</dl>\n");
        self.refs(&mut out);
        violations(&mut out, "What is wrong", &self.violations);
        self.what_to_do(&mut out);
        if !self.waivers.is_empty() {
            out.push_str("<h2>Waived by a bypass</h2>\n<ul>\n");
            for one in &self.waivers {
                let commit = one
                    .commit
                    .as_deref()
                    .map_or(String::new(), |id| format!(" on <code>{}</code>", escape(id)));
                let _ = writeln!(
                    out,
                    "<li><code>{}</code>{commit}, by {}</li>",
                    escape(&one.rule),
                    escape(&one.by)
                );
            }
            out.push_str("</ul>\n");
        }
        violations(&mut out, "What rulesets under evaluation would refuse", &self.advisory);
        objects(&mut out, "Commits", &self.commits);
        objects(&mut out, "Tags", &self.tags);
        if self.left_out > 0 {
            let _ = writeln!(out, "<p>{} more entries are not shown.</p>", self.left_out);
        }
        out.push_str("</body></html>\n");
        out
    }

    fn refs(&self, out: &mut String) {
        out.push_str("<h2>What was judged</h2>\n");
        for one in &self.refs {
            let id = |id: &Option<String>| {
                id.as_deref().map_or("nothing".to_owned(), |id| format!("<code>{}</code>", escape(id)))
            };
            let kind = one.kind.as_deref().map_or(String::new(), |kind| format!(" ({})", escape(kind)));
            let _ = writeln!(
                out,
                "<p><code>{}</code>: {} to {}{kind}<br>{}</p>",
                escape(&one.name),
                id(&one.old),
                id(&one.new),
                coverage_words(one.coverage)
            );
            if let Some(from) = &one.judged_from {
                let _ = writeln!(
                    out,
                    "<p>Judged from {}, because the move to {} was refused as decision <a \
                     href=\"{request}\"><code>{request}</code></a>.{}</p>",
                    id(&from.id),
                    id(&one.old),
                    match from.id == one.new {
                        true => " It is back there, so there was nothing to judge.",
                        false => "",
                    },
                    request = escape(&from.refused_by)
                );
            }
            if one.rulesets.is_empty() {
                continue;
            }
            out.push_str(
                "<table><tr><th>Ruleset</th><th>Mode</th><th>New commits</th><th>Violations</th></tr>\n",
            );
            for set in &one.rulesets {
                let (name, mode) = (escape(&set.name), escape(&set.enforcement));
                let _ = writeln!(
                    out,
                    "<tr><td>{name}</td><td>{mode}</td><td>{}</td><td>{}</td></tr>",
                    set.introduced, set.violations
                );
            }
            out.push_str("</table>\n");
        }
    }

    fn what_to_do(&self, out: &mut String) {
        if self.outcome == "refuse" {
            out.push_str(
                "<h2>What to do</h2>\n<p>Make the commits again so that they keep the rules, and push those; \
                 <code>countersign check --self</code> judges them before a push. Until then nothing should be merged \
                 or deployed from this ref: whatever is pushed on top is judged together with this. Pushed back to what it \
                 held before, the ref is in order again.</p>\n",
            );
        }
        if let Some(contact) = &self.contact {
            let _ = writeln!(out, "<p>{}</p>", escape(contact));
        }
    }
}

fn verdict(outcome: &str) -> &'static str {
    match outcome {
        "accept" => "accepted",
        "refuse" => "refused",
        _ => "no verdict",
    }
}

fn entry(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", escape(value));
}

fn violations(out: &mut String, title: &str, all: &[ViolationView]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>");
    for one in all {
        let _ = write!(out, "<h3><code>{}</code></h3>", escape(&one.rule));
        if let Some(about) = one.about {
            let _ = write!(out, "<p>{}</p>", escape(about));
        }
        out.push_str("<dl>");
        for (name, value) in
            [("Ref", &one.reference), ("Commit", &one.commit), ("Tag", &one.tag), ("Path", &one.path)]
        {
            if let Some(value) = value {
                entry(out, name, value);
            }
        }
        entry(out, "Found", &one.seen);
        entry(out, "Wanted", &one.wanted);
        entry(out, "By ruleset", &one.rulesets.join(", "));
        out.push_str("</dl>\n");
    }
}

fn objects(out: &mut String, title: &str, all: &[ObjectView]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>\n<table><tr><th>Id</th><th>Signature</th><th>Signer</th></tr>");
    for one in all {
        let signer = one.signer.as_deref().unwrap_or("-");
        let _ = writeln!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(&one.id),
            escape(&one.signature),
            escape(signer)
        );
    }
    out.push_str("</table>\n");
}

/// Text as the content of an element, or as the value of an attribute in quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::decisions::page;
    use super::*;
    use crate::audit::{
        Coverage, Decision, JudgedFrom, ObjectEntry, Outcome, Peer, PusherEntry, RefEntry, ViolationEntry,
    };
    use crate::domain::{
        ObjectId, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef, RequestId, Timestamp,
        UpdateKind,
    };
    use sha2::{Digest, Sha256};
    use std::collections::BTreeMap;

    const SCRIPT: &str = "<script>alert(1)</script>";
    const HOSTILE: &str = "\"><img src=x onerror='alert(1)'>&lt;{{7*7}}</style></title>-->";
    const REF: &str = "refs/heads/<img/src=x/onerror=alert(1)>'\"&amp;";
    const HIDDEN: &str = "hidden-from-everybody";

    fn decision(outcome: Outcome) -> Decision {
        let context = PushContext {
            request_id: RequestId::from_random([7; 16]),
            repository: RepositoryRef { id: RepositoryId("forge:1".into()), name: format!("a/{HOSTILE}") },
            pusher: Pusher::Unknown,
            push_options: vec![format!("token={HIDDEN}").into_bytes()],
            received_at: Timestamp::UNIX_EPOCH,
        };
        let mut made = Decision::new(&context, outcome, "c", "k");
        let id = ObjectId::from_bytes(&[3; 20]).unwrap();
        let name = RefName::parse(REF.as_bytes()).unwrap();
        let update = RefUpdate { name: name.clone(), old: None, new: Some(id) };
        made.pusher = PusherEntry::Known {
            name: SCRIPT.into(),
            source: "X".into(),
            principal: None,
            proof: None,
            details: BTreeMap::from([("GL_EMAIL".to_owned(), HIDDEN.to_owned())]),
        };
        made.peer =
            Some(Peer { transport: "webhook".into(), uid: Some(4711), address: Some(HIDDEN.to_owned()) });
        made.refs = vec![
            RefEntry::new(&update, Some(UpdateKind::Create), Coverage::Ruleset)
                .judged_by(HOSTILE, "enforce", 3, 1),
        ];
        made.violations = vec![
            ViolationEntry::new("unsafe-message", &format!("a subject {SCRIPT}"), HOSTILE, &[HOSTILE.into()])
                .on_ref(&name)
                .on_commit(&id),
        ];
        made.violations[0].path = Some(HOSTILE.to_owned());
        made.advisory = made.violations.clone();
        made.commits = vec![ObjectEntry::new(&id, "verified").signer(SCRIPT).key("ssh", HOSTILE)];
        made.tags = made.commits.clone();
        made
    }

    #[test]
    fn what_a_pusher_chose_is_text_and_nothing_else() {
        let shown = page(&decision(Outcome::Refuse), Some(HOSTILE)).html();
        for wrong in ["<script", "<img", "onerror='", "</title>-->", "<style><", "{{7*7}}</style>"] {
            assert!(!shown.contains(wrong), "{wrong} in {shown}");
        }
        assert!(shown.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is there to be read: {shown}");
        assert!(shown.contains("&lt;img/src=x/onerror=alert(1)&gt;&#39;&quot;&amp;amp;"), "{shown}");
        // Whatever is inside a tag is ours.
        let ours = ["id", "h1", "/h1", "p", "/p", "td", "/td", "code", "/code"];
        assert!(ours.iter().all(|tag| !tag.contains(' ')));
        let tags = shown.split('<').skip(1).map(|rest| rest.split('>').next().unwrap());
        for tag in tags.filter(|tag| tag.contains('=')) {
            let fixed = [
                "html lang=\"en\"",
                "meta charset=\"utf-8\"",
                "meta name=\"robots\" content=\"noindex\"",
                "meta name=\"viewport\" content=\"width=device-width\"",
            ];
            assert!(fixed.contains(&tag), "{tag}");
        }
    }

    #[test]
    fn nothing_but_what_was_judged_is_shown() {
        let mut undecided =
            decision(Outcome::Accept).undecided("internal", &format!("cannot open /srv/{HIDDEN}"));
        undecided.waivers.clear();
        for shown in [page(&undecided, None), page(&decision(Outcome::Accept), None)] {
            let both = [shown.html(), serde_json::to_string(&shown).unwrap()];
            for text in both {
                assert!(!text.contains(HIDDEN) && !text.contains("4711"), "{text}");
            }
        }
        let shown = page(&undecided, None).html();
        assert!(
            shown.contains("internal")
                && shown.contains("no verdict")
                && shown.contains("not a policy decision")
        );
        assert!(!shown.contains("accepted") && !shown.contains("refused"), "{shown}");
    }

    #[test]
    fn a_page_says_from_where_something_was_judged() {
        let mut judged = decision(Outcome::Refuse);
        let (sound, refused_by) = (ObjectId::from_bytes(&[5; 20]).unwrap().to_string(), HOSTILE.to_owned());
        judged.refs[0].judged_from = Some(JudgedFrom { id: Some(sound.clone()), refused_by });
        let shown = page(&judged, None).html();
        assert!(shown.contains(&format!("Judged from <code>{sound}</code>, because the move to nothing")));
        for wrong in ["<img", "onerror='", "href=\"\">"] {
            assert!(!shown.contains(wrong), "{wrong} in {shown}");
        }
        let refused_by = RequestId::from_random([9; 16]).to_string();
        judged.refs[0].judged_from = Some(JudgedFrom { id: None, refused_by: refused_by.clone() });
        let shown = page(&judged, None).html();
        assert!(shown.contains("Judged from nothing") && shown.contains(&format!("href=\"{refused_by}\"")));
        assert!(!shown.contains("nothing to judge"));
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let mut long = decision(Outcome::Refuse);
        long.violations = vec![long.violations[0].clone(); 1000];
        long.truncated.commits = 5;
        let shown = page(&long, None);
        assert_eq!((shown.violations.len(), shown.left_out), (200, 805));
        assert!(shown.html().contains("805 more entries"));
    }

    #[test]
    fn the_policy_allows_the_one_style_and_nothing_else() {
        let digest = data_encoding::BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
        assert!(POLICY.contains(&format!("style-src 'sha256-{digest}'")), "the digest is {digest}");
        let shown = page(&decision(Outcome::Refuse), None).html();
        assert_eq!(shown.matches("<style>").count(), 1);
        for word in ["script-src", "unsafe", "http", "*"] {
            assert!(!POLICY.contains(word), "{word}");
        }
    }
}
