//! Tenants: files of rulesets of their own, for their own repositories, and nobody else's trouble (N15).

use crate::support::gate::Gate;
use std::fs;
use std::path::PathBuf;

const POLICY: &str = r#"
[policy]
uncovered = "refuse"

[[policy.tenant]]
name = "acme"
repositories = ["acme/**"]
include = "tenants/acme/*.toml"

[[policy.tenant]]
name = "zeta"
repositories = ["zeta/**"]
include = "tenants/zeta.toml"

[[ruleset]]
name = "all"
repositories = ["**"]
refs = ["refs/heads/**"]

[ruleset.refuse]
ref-deletion = true
"#;

const MAIN: &str = r#"[[ruleset]]
name = "main"
repositories = ["**"]
refs = ["refs/heads/main"]

[ruleset.refuse]
force-push = true
"#;

struct Tenants {
    gate: Gate,
}

impl Tenants {
    fn new() -> Self {
        let gate = Gate::prepared(POLICY);
        fs::create_dir_all(gate.home.join("tenants/acme")).unwrap();
        let tenants = Tenants { gate };
        tenants.write("acme/main.toml", MAIN);
        tenants.write("zeta.toml", &MAIN.replace("force-push", "locked-ref"));
        tenants
    }

    fn file(&self, name: &str) -> PathBuf {
        self.gate.home.join("tenants").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }
}

#[test]
fn n15_a_tenants_files_tighten_its_own_repositories_only() {
    let tenants = Tenants::new();
    let gate = &tenants.gate;
    gate.start();
    for (name, rules) in [("acme/app", &["force-push"][..]), ("other/app", &[])] {
        let work = gate.clone_of(&gate.repository(name));
        work.commit(None, "one");
        work.commit(None, "two");
        work.accepted(&["main"]);
        work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
        work.commit(None, "instead");
        let push = work.push(&["--force", "main"]);
        if rules.is_empty() {
            push.assert_accepted()
        } else {
            push.assert_refused(rules)
        };
        // What the instance says holds for all of them; what tenants cover does not open anything.
        work.push(&[":main"]).assert_refused(&["ref-deletion"]);
    }
    let record = gate.last_decision();
    assert!(!record.to_string().contains("zeta/main"), "{record}");
    let zeta = gate.clone_of(&gate.repository("zeta/app"));
    zeta.commit(None, "one");
    zeta.push(&["main"]).assert_refused(&["locked-ref"]);
    let record = gate.last_decision().to_string();
    assert!(record.contains("zeta/main") && !record.contains("acme/main"), "{record}");

    // Refs that the instance leaves uncovered stay refused, whatever a tenant covers.
    tenants.write("acme/main.toml", &MAIN.replace("refs/heads/main", "refs/tags/**"));
    gate.reload();
    let work = gate.clone_of(&gate.repository("acme/tags"));
    work.commit(None, "one");
    work.git(&["tag", "v1"]).ok();
    work.push(&["v1"]).assert_refused(&["uncovered-ref"]);
}

#[test]
fn n15_a_faulty_file_leaves_its_tenant_undecided_and_nobody_else() {
    let tenants = Tenants::new();
    let gate = &tenants.gate;
    let broken = MAIN.replace("force-push", "force-pish");
    tenants.write("acme/main.toml", &broken);
    // At the start.
    gate.start();
    let acme = gate.clone_of(&gate.repository("acme/app"));
    let other = gate.clone_of(&gate.repository("other/app"));
    let zeta = gate.clone_of(&gate.repository("zeta/app"));
    let place = format!("{}:7:1", tenants.file("acme/main.toml").display());
    acme.commit(None, "one");
    let push = acme.push(&["main"]).assert_undecided("cause[faulty-tenant]: the policy of tenant `acme`");
    assert!(push.text().contains(&place), "{}", push.text());
    assert!(
        !push.text().contains("force-pish"),
        "what the file says is not for whoever pushes\n{}",
        push.text()
    );
    let record = gate.last_decision();
    assert_eq!(record["outcome"], "undecided", "{record}");
    assert!(record.to_string().contains("faulty-tenant"), "{record}");
    other.commit(None, "one");
    other.accepted(&["main"]);
    zeta.commit(None, "one");
    zeta.push(&["main"]).assert_refused(&["locked-ref"]);
    let (status, body) = gate.get("/health");
    assert!(status == 200 && body.contains("degraded") && body.contains("force-pish"), "{body}");
    assert!(gate.log().contains("tenant `acme`") && gate.log().contains("force-pish"), "{}", gate.log());
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(2));
    assert!(
        ran.stdout.contains(&place) && ran.stdout.contains("loads without the files of 1 tenant"),
        "{}",
        ran.stdout
    );
    let ran = gate.countersign(&["config", "show", "--repo", "acme/app", "--ref", "refs/heads/main"]);
    assert_eq!(ran.code(), Some(3), "{}", ran.stdout);
    assert!(ran.stderr.contains(&place), "{}", ran.stderr);
    assert!(!gate.adopt(&gate.place("acme/app")).status.success(), "a base without its rulesets is none");

    // Mended, at a reload.
    tenants.write("acme/main.toml", MAIN);
    gate.reload();
    acme.accepted(&["main"]);
    let (_, body) = gate.get("/health");
    assert!(body.contains("\"ok\""), "{body}");

    // And broken again, at a reload, in every way that a tenant has.
    let no_rule = "[[ruleset]]\nname = \"x\"\n";
    for (name, text) in [
        ("acme/main.toml", broken.as_str()),
        ("acme/other.toml", "[daemon]\nsocket = \"/tmp/x\"\n"),
        ("acme/other.toml", no_rule),
        ("acme/other.toml", MAIN),
        ("acme/other.toml", "= not TOML"),
        ("acme/other.toml", &MAIN.replace("name = \"main\"", "name = \"y\"\nactors = [\"person:alice\"]")),
    ] {
        tenants.write(name, text);
        gate.reload();
        let place = tenants.file(name).display().to_string();
        acme.commit(None, "next");
        let push = acme.push(&["main"]).assert_undecided("cause[faulty-tenant]");
        assert!(push.text().contains(&place), "{text}\n{}", push.text());
        other.commit(None, "next");
        other.accepted(&["main"]);
        tenants.write("acme/main.toml", MAIN);
        let _ = fs::remove_file(tenants.file("acme/other.toml"));
    }
    // A file that is named and gone protects nothing any more.
    fs::remove_file(tenants.file("zeta.toml")).unwrap();
    gate.reload();
    zeta.push(&["main"]).assert_undecided("cause[faulty-tenant]: the policy of tenant `zeta`");
    acme.accepted(&["main"]);
    // And so does a pattern that matches nothing any more.
    fs::remove_file(tenants.file("acme/main.toml")).unwrap();
    gate.reload();
    acme.commit(None, "next");
    acme.push(&["main"]).assert_undecided("cause[faulty-tenant]: the policy of tenant `acme`");
    tenants.write("acme/main.toml", MAIN);
    gate.reload();
    acme.accepted(&["main"]);
    // A file that others can write could say anything.
    tenants.write("zeta.toml", MAIN);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(tenants.file("zeta.toml"), open).unwrap();
    gate.reload();
    zeta.push(&["main"]).assert_undecided("cause[faulty-tenant]");
    let reloads = gate.audit().into_iter().filter(|one| one.to_string().contains("faulty_tenants")).count();
    assert!(reloads >= 8, "{reloads} records name tenants");
}

#[test]
fn n15_two_tenants_in_one_directory_that_others_can_write_are_both_undecided() {
    let tenants = Tenants::new();
    let gate = &tenants.gate;
    gate.configure(
        &POLICY
            .replace("tenants/acme/*.toml", "tenants/acme/main.toml")
            .replace("tenants/zeta.toml", "tenants/acme/zeta.toml"),
    );
    tenants.write("acme/zeta.toml", MAIN);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(tenants.file("acme"), open).unwrap();
    gate.start();
    for name in ["acme/app", "zeta/app"] {
        let work = gate.clone_of(&gate.repository(name));
        work.commit(None, "one");
        work.push(&["main"]).assert_undecided("cause[faulty-tenant]");
    }
    let work = gate.clone_of(&gate.repository("other/app"));
    work.commit(None, "one");
    work.accepted(&["main"]);
}

#[test]
fn what_names_a_tenant_is_the_instances_own_fault() {
    let tenants = Tenants::new();
    let gate = &tenants.gate;
    for (from, to, expected) in [
        ("name = \"zeta\"", "name = \"acme\"", "a tenant called `acme` is already at"),
        ("name = \"zeta\"", "name = \"Zeta/\"", "cannot name a tenant"),
        ("repositories = [\"zeta/**\"]", "repositories = []", "matches no repository"),
        ("repositories = [\"zeta/**\"]\n", "", "`repositories` is missing"),
        ("include = \"tenants/zeta.toml\"\n", "", "`include` is missing"),
        (
            "include = \"tenants/zeta.toml\"\n",
            "include = \"*/zeta.toml\"\n",
            "only the last part of `include`",
        ),
        ("include = \"tenants/zeta.toml\"\n", "inclode = \"x\"\n", "did you mean `include`?"),
    ] {
        assert!(POLICY.contains(from), "{from}");
        gate.configure(&POLICY.replacen(from, to, 1));
        let ran = gate.serve_fails();
        assert!(ran.stderr.contains(expected), "{to}: no {expected:?} in\n{}", ran.stderr);
    }
}

#[test]
fn n15_a_tenant_whose_patterns_would_fill_the_memory_is_undecided_alone() {
    let tenants = Tenants::new();
    tenants.gate.start();
    let acme = tenants.gate.clone_of(&tenants.gate.repository("acme/app"));
    let zeta = tenants.gate.clone_of(&tenants.gate.repository("zeta/app"));
    let patterns = |each: &str, count: usize| {
        let all: Vec<String> = (0..count).map(|n| format!("'re:refs/{each}{n}'")).collect();
        MAIN.replace("\"refs/heads/main\"", &all.join(", "))
    };
    // Many that are small are none of it.
    tenants.write("acme/more.toml", &patterns("heads/[a-z]+", 500).replace("\"main\"", "\"more\""));
    tenants.gate.reload();
    acme.commit(None, "one");
    acme.accepted(&["main"]);
    // 3,000 of these would take two GiB.
    tenants.write("acme/more.toml", &patterns("(?:[a-z]{1,900}){9}", 3_000).replace("\"main\"", "\"more\""));
    tenants.gate.reload();
    acme.commit(None, "two");
    let push = acme.push(&["main"]).assert_undecided("cause[faulty-tenant]");
    assert!(push.text().contains("more.toml"), "{}", push.text());
    assert!(tenants.gate.log().contains("need more than 128 MiB of memory"), "{}", tenants.gate.log());
    zeta.commit(None, "one");
    zeta.push(&["main"]).assert_refused(&["locked-ref"]);
    let status = fs::read_to_string(format!("/proc/{}/status", tenants.gate.pid().as_raw_nonzero())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 600 << 10, "{peak} KiB");
}
