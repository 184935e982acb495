//! From a verdict to what the forge is told about it (N28).
//!
//! One context a target. Success is said only where an enforcing ruleset judged the commit for that very target, and
//! accepted it. Whatever is unknown is pending, which no forge takes for consent.

use super::watched::Watched;
use crate::domain::{ObjectId, RefName, RequestId, Timestamp, text};
use crate::forge::{State, context};
use crate::policy::{self, Coverage, Enforcement, RefVerdict, Rulesets, Verdict};
use crate::store::{NewReport, ReportState};

/// Most names of rules in a description: a forge shows about one line.
const NAMED: usize = 3;

/// Which commit is reported on, and for which target.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where, and who is told.
    pub watched: &'a Watched,
    /// The ref that holds it, or that a proposal wants to move to it.
    pub reference: &'a RefName,
    /// The commit; of a tag the one that it is about.
    pub commit: ObjectId,
    /// It would only be brought there by a pull or merge request, or passed there only for a while.
    pub proposed: bool,
}

/// What is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It was seen, and is going to be judged.
    Seen,
    /// It was judged and accepted: by which enforcing rulesets, and how many commits were new to them.
    Accepted {
        /// The rulesets.
        rulesets: Vec<String>,
        /// New commits.
        introduced: usize,
    },
    /// It was judged and refused: by which rules, and how many violations there are.
    Refused {
        /// The rules, most violations first.
        rules: Vec<String>,
        /// All violations.
        violations: usize,
    },
    /// It is back at its last sound value after moves that were refused, the last of them by this decision, and there
    /// was nothing to judge; whether the enforcing rulesets of now have let that value in there.
    PutBack {
        /// Whether all have.
        vouched: bool,
        /// The decision.
        refused_by: RequestId,
    },
    /// It was let in because no enforcing ruleset judges it, which is no verdict.
    Uncovered,
    /// It could not be judged: a stable word for why.
    Undecided(String),
}

impl Known {
    /// What a verdict by `policy` says about one of its refs.
    pub fn of(verdict: &Verdict, reference: &RefVerdict, policy: &Rulesets) -> Self {
        if verdict.decision == policy::Decision::Refuse {
            let mut counts: Vec<(usize, &str)> = Vec::new();
            for violation in &verdict.violations {
                match counts.iter_mut().find(|(_, rule)| *rule == violation.rule) {
                    Some((count, _)) => *count += 1,
                    None => counts.push((1, violation.rule)),
                }
            }
            counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            let rules = counts.into_iter().map(|(_, rule)| rule.to_owned()).collect();
            return Known::Refused { rules, violations: verdict.violation_count };
        }
        // The built-in rules, and those that come with every configuration, are no consent to anything. A ruleset
        // that is not for this pusher judged nothing.
        let judged = reference.rulesets.iter().filter(|one| {
            let configured = |index: usize| policy.rulesets.get(index).is_some_and(|set| !set.by_default);
            one.enforcement == Enforcement::Enforce && !one.exempt && one.index.is_some_and(configured)
        });
        let judged: Vec<_> = judged.collect();
        // An accept that nothing enforced is none (N2).
        if reference.coverage != Coverage::Ruleset || judged.is_empty() {
            return Known::Uncovered;
        }
        Known::Accepted {
            rulesets: judged.iter().map(|one| one.name.clone()).collect(),
            introduced: judged.iter().map(|one| one.introduced).max().unwrap_or_default(),
        }
    }

    const fn state(&self) -> ReportState {
        match self {
            Known::Accepted { .. } | Known::PutBack { vouched: true, .. } => ReportState::Success,
            Known::Refused { .. } => ReportState::Failure,
            Known::Seen | Known::PutBack { vouched: false, .. } | Known::Uncovered | Known::Undecided(_) => {
                ReportState::Pending
            }
        }
    }

    fn description(&self) -> String {
        let shown = |name: &str| text::escape_short(name.as_bytes(), 40);
        let named = |names: &[String]| {
            let some: Vec<String> = names.iter().take(NAMED).map(|name| shown(name)).collect();
            format!("{}{}", some.join(", "), if names.len() > NAMED { ", ..." } else { "" })
        };
        match self {
            Known::Seen => "waiting to be judged; this is no verdict".to_owned(),
            Known::Accepted { rulesets, introduced } => {
                let commits = plural(*introduced, "new commit");
                format!("accepted: {commits}, judged by {}", named(rulesets))
            }
            Known::Refused { rules, violations } => {
                format!("refused: {} ({})", plural(*violations, "violation"), named(rules))
            }
            Known::PutBack { vouched: true, refused_by } => {
                format!("accepted: back at what it held before moves were refused, last as decision {refused_by}")
            }
            Known::PutBack { vouched: false, .. } => {
                "no verdict: back at what it held before moves were refused, which not every ruleset has judged"
                    .to_owned()
            }
            Known::Uncovered => "no verdict: no enforcing ruleset judges this ref".to_owned(),
            Known::Undecided(why) => {
                format!(
                    "no verdict: it could not be judged yet ({}); this is not a policy decision",
                    shown(why)
                )
            }
        }
    }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// What the forge is to be told; nothing where the source tells nobody. `note` is added to the description: what
/// was done about it.
pub fn report(
    target: &Target<'_>,
    known: &Known,
    request: Option<&RequestId>,
    note: Option<&str>,
    now: Timestamp,
) -> Option<NewReport> {
    target.watched.source.report.as_ref()?;
    let mut description = known.description();
    if let Some(note) = note {
        description = format!("{}; {description}", text::escape(note.as_bytes()));
    }
    Some(NewReport {
        source: target.watched.source.name.clone(),
        repository: target.watched.id.clone(),
        commit: target.commit,
        context: context(target.watched.source.forge, target.reference),
        reference: Some(target.reference.clone()),
        state: known.state(),
        description,
        proposed: target.proposed,
        request_id: request.cloned(),
        at: now,
    })
}

/// What the forge is told of a new tip before it is judged. Nothing where no ruleset judges the ref: a status that
/// never becomes a verdict would only be in the way.
pub fn pending(
    target: &Target<'_>,
    policy: &Rulesets,
    default_branch: Option<&RefName>,
    now: Timestamp,
) -> Option<NewReport> {
    match policy.coverage(&target.watched.name, target.reference, default_branch) {
        Coverage::UncoveredAccept => None,
        Coverage::Ruleset | Coverage::UncoveredRefuse => report(target, &Known::Seen, None, None, now),
    }
}

/// The state in the words of `forge`.
pub(super) const fn state(state: ReportState) -> State {
    match state {
        ReportState::Pending => State::Pending,
        ReportState::Success => State::Success,
        ReportState::Failure => State::Failure,
        ReportState::Error => State::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fetch, Place, ReportIdentity, Reporting, SecretPlace, Source};
    use crate::domain::{RepositoryId, UpdateKind};
    use crate::forge::ForgeKind;
    use crate::git::{Address, Credential, Remote};
    use crate::policy::{Pattern, Refs, Ruleset, RulesetVerdict, Uncovered, rules};

    fn watched(forge: ForgeKind, tells: bool) -> Watched {
        let report = Reporting {
            api: "https://api.example.org".into(),
            identity: ReportIdentity::Token(SecretPlace::Env("T".into())),
            user: None,
            check_runs: false,
            link: None,
            authority: None,
            deadline: Reporting::DEADLINE,
        };
        let source = Source {
            name: "hub".into(),
            forge,
            path: "/hooks/hub".into(),
            secrets: Vec::new(),
            repositories: Vec::new(),
            max_body: Source::MAX_BODY,
            fetch: Fetch::default(),
            report: tells.then_some(report),
            sweep: None,
            restore: false,
            restore_created: false,
            administrators: Vec::new(),
            place: Place { file: "x".into(), line: 1, column: 1 },
        };
        let remote = Remote {
            address: Address::parse("file:///x").unwrap(),
            credential: Credential::None,
            known_hosts: None,
            authorities: None,
            proxy: None,
        };
        Watched {
            id: RepositoryId("hub:1".into()),
            name: "hub/a/b".into(),
            source,
            accounts: None,
            remote,
            deadline: std::time::Duration::ZERO,
            quota: 0,
            mirrors: "mirrors".into(),
        }
    }

    fn name(text: &str) -> RefName {
        RefName::parse(text.as_bytes()).unwrap()
    }

    fn told(watched: &Watched, reference: &str, known: &Known) -> Option<NewReport> {
        let (reference, commit) = (name(reference), ObjectId::from_bytes(&[3; 20]).unwrap());
        let target = Target { watched, reference: &reference, commit, proposed: false };
        report(&target, known, None, None, Timestamp::UNIX_EPOCH)
    }

    fn judged(decision: policy::Decision, coverage: Coverage, enforcement: Enforcement) -> Known {
        judged_for(decision, coverage, enforcement, false)
    }

    fn production(enforcement: Enforcement) -> Ruleset {
        let everything = vec![Pattern::new("**").unwrap()];
        let options = toml::Value::Table(toml::toml! { projects = ["OPS"] });
        let rule = rules::build("missing-ticket", &options).unwrap().unwrap();
        let refs = Refs::new(["refs/heads/main"]).unwrap();
        Ruleset::new("production", everything, refs, enforcement, vec![rule]).unwrap()
    }

    fn judged_for(
        decision: policy::Decision,
        coverage: Coverage,
        enforcement: Enforcement,
        exempt: bool,
    ) -> Known {
        let reference = RefVerdict {
            name: name("refs/heads/main"),
            old: None,
            new: ObjectId::from_bytes(&[3; 20]).ok(),
            kind: UpdateKind::Create,
            coverage,
            rulesets: vec![
                RulesetVerdict {
                    index: None,
                    name: "builtin".into(),
                    enforcement: Enforcement::Enforce,
                    introduced: 9,
                    violations: 0,
                    waived: 0,
                    exempt: false,
                },
                RulesetVerdict {
                    index: Some(0),
                    name: "production".into(),
                    enforcement,
                    introduced: 2,
                    violations: 0,
                    waived: 0,
                    exempt,
                },
            ],
        };
        let verdict = Verdict {
            decision,
            violations: Vec::new(),
            violation_count: 4,
            advisory: Vec::new(),
            advisory_count: 0,
            waivers: Vec::new(),
            waiver_count: 0,
            refs: vec![reference.clone()],
        };
        let policy = Rulesets { rulesets: vec![production(enforcement)], uncovered: Uncovered::Accept };
        Known::of(&verdict, &reference, &policy)
    }

    #[test]
    fn n28_success_is_said_where_an_enforcing_ruleset_judged_for_that_target_and_nowhere_else() {
        use policy::Decision::{Accept, Refuse};
        let hub = watched(ForgeKind::GitHub, true);
        let state = |known: &Known| told(&hub, "refs/heads/main", known).unwrap().state;
        let accepted = judged(Accept, Coverage::Ruleset, Enforcement::Enforce);
        assert_eq!(accepted, Known::Accepted { rulesets: vec!["production".into()], introduced: 2 });
        assert_eq!(state(&accepted), ReportState::Success);
        // A ruleset that is not for this pusher judged nothing.
        let exempt = judged_for(Accept, Coverage::Ruleset, Enforcement::Enforce, true);
        assert_eq!((state(&exempt), exempt), (ReportState::Pending, Known::Uncovered));
        // An accept that nobody enforced, whoever evaluated it.
        for coverage in [Coverage::UncoveredAccept, Coverage::UncoveredRefuse] {
            let known = judged(Accept, coverage, Enforcement::Evaluate);
            assert_eq!(state(&known), ReportState::Pending, "{coverage:?}");
        }
        for coverage in [Coverage::Ruleset, Coverage::UncoveredAccept, Coverage::UncoveredRefuse] {
            assert_eq!(state(&judged(Refuse, coverage, Enforcement::Enforce)), ReportState::Failure);
        }
        assert_eq!(state(&Known::Seen), ReportState::Pending);
        // Back where it was sound, it is what it was, as far as those agree who judge now.
        let put_back = |vouched| Known::PutBack { vouched, refused_by: RequestId::from_random([7; 16]) };
        assert_eq!(state(&put_back(true)), ReportState::Success);
        assert_eq!(state(&put_back(false)), ReportState::Pending);
        let undecided = told(&hub, "refs/heads/main", &Known::Undecided("deadline".into())).unwrap();
        assert_eq!(undecided.state, ReportState::Pending);
        assert!(
            undecided.description.contains("no verdict")
                && undecided.description.contains("not a policy decision")
        );
        assert!(!undecided.description.starts_with("refused"));
    }

    #[test]
    fn n28_a_verdict_for_one_target_is_none_for_another() {
        let accepted = judged(policy::Decision::Accept, Coverage::Ruleset, Enforcement::Enforce);
        // The forge does not tell case apart, or accents, or what comes behind its longest context.
        let long = format!("refs/heads/{}", "x".repeat(300));
        let other = format!("{long}y");
        let alike = [
            "refs/heads/main",
            "refs/heads/MAIN",
            "refs/heads/Main",
            "refs/tags/main",
            "refs/heads/ma\u{131}n",
            &long,
            &other,
        ];
        for &forge in ForgeKind::ALL {
            let hub = watched(forge, true);
            let context = |reference: &str| told(&hub, reference, &accepted).unwrap().context.to_lowercase();
            let mut contexts: Vec<String> = alike.iter().map(|reference| context(reference)).collect();
            contexts.sort();
            contexts.dedup();
            assert_eq!(contexts.len(), alike.len(), "{}: {contexts:?}", forge.name());
        }
        let hub = watched(ForgeKind::GitHub, true);
        let shown = told(&hub, "refs/heads/main", &accepted).unwrap();
        assert_eq!(
            (shown.context.as_str(), shown.reference),
            ("countersign/refs/heads/main", Some(name("refs/heads/main")))
        );
    }

    #[test]
    fn n28_a_new_tip_is_pending_at_once_where_a_ruleset_will_judge_it() {
        let pending = |reference: &str, enforcement, uncovered, tells| {
            let watched = watched(ForgeKind::Gitea, tells);
            let (reference, commit) = (name(reference), ObjectId::from_bytes(&[3; 20]).unwrap());
            let target = Target { watched: &watched, reference: &reference, commit, proposed: false };
            let policy = Rulesets { rulesets: vec![production(enforcement)], uncovered };
            let report = pending(&target, &policy, None, Timestamp::UNIX_EPOCH);
            report.map(|one| (one.state, one.description.contains("no verdict")))
        };
        use Enforcement::{Enforce, Evaluate};
        let said = Some((ReportState::Pending, true));
        assert_eq!(pending("refs/heads/main", Enforce, Uncovered::Accept, true), said);
        assert_eq!(pending("refs/heads/topic", Enforce, Uncovered::Refuse, true), said);
        assert_eq!(pending("refs/heads/topic", Enforce, Uncovered::Accept, true), None);
        assert_eq!(pending("refs/heads/main", Evaluate, Uncovered::Accept, true), None);
        assert_eq!(pending("refs/heads/main", Enforce, Uncovered::Accept, false), None);
    }

    #[test]
    fn what_was_done_is_announced_and_names_are_escaped() {
        let hub = watched(ForgeKind::GitLab, true);
        let (reference, commit) = (name("refs/heads/main"), ObjectId::from_bytes(&[3; 20]).unwrap());
        let target = Target { watched: &hub, reference: &reference, commit, proposed: false };
        let known = Known::Refused {
            rules: vec!["a\u{1b}".into(), "b".into(), "c".into(), "d".into()],
            violations: 9,
        };
        let one = report(&target, &known, None, Some("restored to abc"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(one.description, "restored to abc; refused: 9 violations (a\\x1b, b, c, ...)");
    }
}
