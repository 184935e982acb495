use super::*;
use crate::config::{self, Config};
use std::fs;
use std::os::unix::fs::PermissionsExt;

struct Home(tempfile::TempDir);

const GOOD: &str = "name = \"github\"\nforge = \"github\"\nsecrets = [{ file = \"secret\" }]\n\
                    repositories = [\"acme/infra\"]\nurl = \"https://github.com/{repository}.git\"\n";

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["keyring", "repositories"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let home = Home(dir);
        home.secret("secret", "test only: github");
        home
    }

    fn secret(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn load(&self, daemon: &str, sources: &str) -> Result<config::Loaded, config::ConfigError> {
        let text = format!(
            "[daemon]\nsocket = \"s\"\nstate = \"state\"\nlisten = \"127.0.0.1:8417\"\n{daemon}\n[keyring]\npath = \"keyring\"\n\
             [repositories]\nroot = \"repositories\"\n[policy]\nuncovered = \"accept\"\n{sources}"
        );
        let path = self.0.path().join("c.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        config::load(&path)
    }

    fn ok(&self, sources: &str) -> Config {
        self.load("", sources).unwrap_or_else(|error| panic!("{error}")).config
    }

    /// What the errors say, of which nothing may be a secret.
    fn fails(&self, sources: &str) -> String {
        let error = self.load("", sources).map(|_| ()).expect_err(sources).to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    }
}

fn source(text: &str) -> String {
    format!("[[source]]\n{text}")
}

/// [`GOOD`] with something replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    source(&GOOD.replacen(from, to, 1))
}

#[test]
fn what_is_left_out_has_its_default() {
    let home = Home::new();
    let config = home.ok(&source(GOOD));
    let source = &config.sources[0];
    assert_eq!((source.name.as_str(), source.forge), ("github", ForgeKind::GitHub));
    assert_eq!(source.path, "/hooks/github");
    assert_eq!(source.max_body, 25 << 20);
    assert_eq!(source.sweep, Some(Duration::from_secs(600)));
    assert!(!source.restore && source.report.is_none());
    assert_eq!(source.fetch, Fetch::default());
    assert_eq!(source.secrets[0].place, SecretPlace::File(home.0.path().join("secret")));
    let repository = &source.repositories[0];
    assert_eq!((repository.name.as_str(), &repository.id), ("acme/infra", &None));
    assert_eq!(repository.url, "https://github.com/acme/infra.git");
    let (secrets, faults) = source.read_secrets();
    assert!(!secrets.is_empty() && faults.is_empty());
}

#[test]
fn everything_that_can_be_written_is_read() {
    let home = Home::new();
    let text = "[[source]]\nname = \"hub\"\nforge = \"github\"\npath = \"/in/hub-1\"\nmax-body = \"1 MiB\"\n\
        secrets = [{ file = \"secret\", kind = \"hmac\" }, { env = \"HUB\" }, { credential = \"hub.next\" }]\n\
        repositories = [\"acme/infra\"]\nurl = \"https://git.example.org:8443/x/{repository}.git\"\nsweep = \"0s\"\n\
        restore = true\n[[source.repository]]\nname = \"Acme/Web\"\nid = 77\n\
        url = \"https://git.example.org/other.git\"\n[source.fetch]\ncredential = { file = \"token\" }\nuser = \"bot\"\n\
        authority = \"ca.pem\"\ndeadline = \"90s\"\nquota = \"1 GiB\"\n[source.report]\napi = \"https://api.github.com/\"\n\
        app = { id = 12, installation = \"34\", key = { credential = \"app.pem\" } }\ncheck-runs = true\n\
        link = \"https://gate.example.org/gate/\"\nauthority = \"api-ca.pem\"\n";
    let config = home.ok(text);
    let source = &config.sources[0];
    assert_eq!((source.path.as_str(), source.max_body, source.sweep), ("/in/hub-1", 1 << 20, None));
    assert!(source.restore);
    assert_eq!(source.secrets.len(), 3);
    assert_eq!(source.secrets[0].kind, Some(SecretKind::Hmac));
    assert_eq!(source.secrets[2].place, SecretPlace::Credential("hub.next".to_owned()));
    assert_eq!(source.repositories[1].id.as_deref(), Some("77"));
    assert_eq!(source.repositories[0].url, "https://git.example.org:8443/x/acme/infra.git");
    assert_eq!(source.repositories[1].url, "https://git.example.org/other.git");
    assert_eq!(source.repository("ACME/web").unwrap().name, "Acme/Web");
    assert_eq!(source.fetch.deadline, Duration::from_secs(90));
    assert_eq!((source.fetch.quota, source.fetch.user.as_deref()), (1 << 30, Some("bot")));
    let report = source.report.as_ref().unwrap();
    assert_eq!((report.api.as_str(), report.check_runs), ("https://api.github.com", true));
    assert_eq!(report.link.as_deref(), Some("https://gate.example.org/gate"));
    let app = ReportIdentity::App {
        id: "12".into(),
        installation: "34".into(),
        key: SecretPlace::Credential("app.pem".into()),
    };
    assert_eq!(report.identity, app);
}

#[test]
fn a_source_without_a_secret_does_not_load() {
    let home = Home::new();
    let says = home.fails(&with("secrets = [{ file = \"secret\" }]\n", ""));
    assert!(says.contains("`secrets` is missing in [[source]]"), "{says}");
    let says = home.fails(&with("[{ file = \"secret\" }]", "[]"));
    assert!(says.contains("would believe everybody") && says.contains("c.toml:"), "{says}");
}

#[test]
fn a_secret_in_the_configuration_is_refused_and_not_shown() {
    let home = Home::new();
    for literal in [
        "\"hunter2\"",
        "[\"hunter2\"]",
        "[{ file = \"secret\" }, \"hunter2\"]",
        "{ secret = \"hunter2\" }",
        "[{ file = \"secret\", value = \"hunter2\" }]",
        "[{ env = \"hunter2 is no name\" }]",
        "[{ credential = \"/hunter2\" }]",
        "[{ file = \"secret\", env = \"HUNTER\" }]",
        "[{}]",
        "7",
    ] {
        let says = home.fails(&with("[{ file = \"secret\" }]", literal));
        assert!(says.contains("c.toml:"), "{says}");
    }
    for (table, line) in [
        ("", "secret = \"hunter2\""),
        ("[source.fetch]\n", "credential = \"hunter2\""),
        ("[source.fetch]\n", "password = \"hunter2\""),
        ("[source.report]\napi = \"https://x.org\"\n", "token = \"hunter2\""),
        (
            "[source.report]\napi = \"https://x.org\"\napp = { id = 1, installation = 2, key = \"hunter2\" }",
            "",
        ),
        ("[[source.repository]]\nname = \"a/b\"\n", "url = \"https://me:hunter2@x.org/a.git\""),
    ] {
        let says = home.fails(&source(&format!("{GOOD}{table}{line}\n")));
        assert!(says.contains("c.toml:"), "{says}");
    }
    let says = home.fails(&with("https://github.com", "https://me:hunter2@github.com"));
    assert!(says.contains("holds a user or a password"), "{says}");
}

#[test]
fn two_sources_share_neither_name_nor_path() {
    let home = Home::new();
    let second = |name: &str, path: &str| {
        format!(
            "{}{}",
            source(GOOD),
            source(&GOOD.replace("\"github\"\nforge", &format!("\"{name}\"\n{path}forge")))
        )
    };
    assert_eq!(home.ok(&second("other", "")).sources.len(), 2);
    let says = home.fails(&second("github", "path = \"/x\"\n"));
    assert!(
        says.contains("two sources are called `github`") && says.contains("the other one stands at"),
        "{says}"
    );
    let says = home.fails(&second("other", "path = \"/hooks/github\"\n"));
    assert!(says.contains("two sources listen at `/hooks/github`"), "{says}");
    for path in [
        "",
        "hooks",
        "/",
        "/hooks/",
        "//x",
        "/a/../b",
        "/a/./b",
        "/health",
        "/metrics",
        "/decisions/x",
        "/a b",
        "/ä",
        "/%2e",
        "/a?b",
    ] {
        let says = home.fails(&with("forge =", &format!("path = \"{path}\"\nforge =")));
        assert!(says.contains("c.toml:"), "{path}: {says}");
    }
}

#[test]
fn kinds_of_secrets_are_those_of_the_forge() {
    let home = Home::new();
    let with_kind = |forge: &str, kind: &str| {
        source(
            &GOOD
                .replace("\"github\"\nsecrets", &format!("\"{forge}\"\nsecrets"))
                .replace("file = \"secret\"", &format!("file = \"secret\", kind = \"{kind}\"")),
        )
    };
    for (forge, kind, fits) in [
        ("github", "hmac", true),
        ("github", "token", false),
        ("gitlab", "token", true),
        ("gitlab", "signing", true),
        ("gitlab", "hmac", false),
        ("generic", "signing", true),
    ] {
        assert_eq!(home.load("", &with_kind(forge, kind)).is_ok(), fits, "{forge} {kind}");
    }
    let says = home.fails(&with_kind("github", "plain"));
    assert!(says.contains("`kind` cannot be \"plain\""), "{says}");
    // Of a signing secret, the form counts.
    let config = home.ok(&with_kind("gitlab", "signing"));
    let (secrets, faults) = config.sources[0].read_secrets();
    assert!(secrets.is_empty() && faults.len() == 1 && !faults[0].elsewhere, "{faults:?}");
    assert!(!faults[0].diagnostic.to_string().contains("test only"), "{faults:?}");
}

#[test]
fn secrets_that_cannot_be_used_are_told_with_their_place() {
    let home = Home::new();
    let text = with(
        "[{ file = \"secret\" }]",
        "[\n{ file = \"secret\" },\n{ file = \"open\" },\n{ file = \"empty\" },\n{ file = \"missing\" },\n{ env = \"NO_SUCH_VARIABLE\" }]",
    );
    home.secret("open", "hunter2");
    fs::set_permissions(home.0.path().join("open"), fs::Permissions::from_mode(0o644)).unwrap();
    home.secret("empty", "\n");
    let config = home.ok(&text);
    let (secrets, faults) = config.sources[0].read_secrets();
    assert!(!secrets.is_empty(), "what can be read counts");
    let told: Vec<(usize, bool)> = faults.iter().map(|one| (one.diagnostic.line, one.elsewhere)).collect();
    let first = config.sources[0].secrets[0].at.line;
    assert_eq!(told, [(first + 1, false), (first + 2, false), (first + 3, false), (first + 4, true)]);
    assert!(faults.iter().all(|one| !one.diagnostic.to_string().contains("hunter2")));
    home.secret("secret", "short");
    assert_eq!(config.sources[0].weak_secrets().len(), 1);
}

#[test]
fn n32_administrators_are_told_apart_by_what_nobody_can_take() {
    let home = Home::new();
    let of = |forge: &str, list: &str| {
        let text = format!("{GOOD}administrators = [{list}]\n");
        source(&text.replace("forge = \"github\"", &format!("forge = \"{forge}\"")))
    };
    const UUID: &str = "f0e1d2c3-0000-4000-8000-0123456789ab";
    let is = |forge: &str, list: &str, login: &str, id: Option<&str>| {
        home.ok(&of(forge, list)).sources[0].is_administrator(login, id)
    };
    for forge in ["github", "gitea", "bitbucket-dc"] {
        assert!(is(forge, "\"ada\"", "Ada", Some("7")));
        assert!(is(forge, "\"bob\", \"#7\"", "renamed", Some("7")));
        assert!(!is(forge, "\"#7\"", "ada", Some("8")));
        assert!(!is(forge, "\"#7\"", "#7", None), "a name that looks like a number");
        assert!(!is(forge, "\"#7\"", "#7", Some("77")));
        assert!(!is(forge, "\"7\"", "ada", Some("7")), "a number is written with #");
    }
    assert!(is("gitlab", "\"#user-42\"", "ada", Some("42")) && is("gitlab", "\"#42\"", "ada", Some("42")));
    for written in [format!("\"#{UUID}\""), format!("\"#{{{UUID}}}\"")] {
        assert!(is("bitbucket-cloud", &written, "any nickname", Some(UUID)));
        assert!(!is("bitbucket-cloud", &written, &format!("#{UUID}"), None));
        assert!(!is("bitbucket-cloud", &written, "ada", Some("11111111-0000-4000-8000-0123456789ab")));
    }
    for nickname in ["\"ada\"".to_owned(), format!("\"#{UUID}\", \"ada\""), format!("\"{UUID}\"")] {
        assert!(home.fails(&of("bitbucket-cloud", &nickname)).contains("UUID"), "{nickname}");
    }
}

#[test]
fn a_token_beside_a_signing_secret_is_told_with_the_way_out() {
    let home = Home::new();
    home.secret("secret", "test only: what a forge sends along");
    home.secret("signing", "whsec_dGVzdCBrZXksIG5vdCBhIHJlYWwgb25lISEhISEhISE=");
    let told = |secrets: &str| {
        let text =
            with("[{ file = \"secret\" }]", secrets).replace("forge = \"github\"", "forge = \"gitlab\"");
        let all = home.ok(&text).sources[0].weak_secrets();
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told("[{ file = \"secret\" }]").len(), 0);
    assert_eq!(told("[{ file = \"signing\" }]").len(), 0);
    let warnings = told("[{ file = \"signing\" }, { file = \"secret\" }]");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("secret") && warnings[0].contains("webhook status"), "{warnings:?}");
    assert!(!warnings[0].contains("test only"), "{warnings:?}");
}

#[test]
fn n31_addresses_are_plain_and_hold_no_secrets() {
    let home = Home::new();
    let repository = |url: &str, fetch: &str| {
        source(&format!(
            "{GOOD}[[source.repository]]\nname = \"a/b\"\nurl = \"{url}\"\n[source.fetch]\n{fetch}"
        ))
    };
    for url in [
        "https://x.org/a.git",
        "https://x.org:8443/a/b/c",
        "https://[2001:db8::1]:444/a",
        "http://127.0.0.1:8080/a.git",
        "http://[::1]/a.git",
        "http://localhost/a",
        "file:///srv/git/a.git",
    ] {
        home.ok(&repository(url, ""));
    }
    let ssh = with("https://github.com/", "ssh://git@x.org:22/");
    home.ok(&format!("{ssh}[source.fetch]\nknown-hosts = \"known\"\ncredential = {{ file = \"secret\" }}\n"));
    let says = home.fails(&repository("ssh://x.org/a", "known-hosts = \"k\"\ncredential = { file = \"k\" }"));
    assert!(says.contains("one credential cannot be both"), "{says}");
    for url in [
        "",
        "x",
        "git@x.org:a/b.git",
        "http://x.org/a.git",
        "http://127.0.0.1.evil.org/a.git",
        "ext::sh -c id",
        "ext://x/a",
        "git://x.org/a.git",
        "https://x.org",
        "https://x.org/",
        "https:///a",
        "https://-x.org/a",
        "https://x.org:0/a",
        "https://x.org:65536/a",
        "https://x.org:+80/a",
        "https://x.org/a?b",
        "https://x.org/a#b",
        "https://x.org/a b",
        "https://x.org/../a",
        "https://x.org//a",
        "https://x.org\\\\@evil.org/a",
        "https://me@x.org/a",
        "ssh://-oProxyCommand=id/a",
        "ssh://-u@x.org/a",
        "file://host/a",
        "file:///srv/../etc",
        "https://x.org/\\u0007",
        "https://xn\u{e4}.org/a",
    ] {
        let says = home.fails(&repository(url, "known-hosts = \"known\""));
        assert!(says.contains("c.toml:"), "{url}: {says}");
    }
    let says = home.fails(&repository("ssh://git@x.org/a.git", ""));
    assert!(says.contains("no host keys are known"), "{says}");
    let says = home
        .fails(&repository("ssh://git@x.org/a.git", "known-hosts = \"k\"\ncredential = { env = \"KEY\" }"));
    assert!(says.contains("whose key is a file"), "{says}");
    for (template, wrong) in
        [("https://x.org/a.git", "once"), ("https://x.org/{repository}/{repository}", "once")]
    {
        let says = home.fails(&with("https://github.com/{repository}.git", template));
        assert!(says.contains(wrong), "{says}");
    }
    let says = home.fails(&with("url = \"https://github.com/{repository}.git\"\n", ""));
    assert!(says.contains("nothing says where `acme/infra` is fetched from"), "{says}");
}

#[test]
fn repositories_are_listed_by_plain_names_that_differ() {
    let home = Home::new();
    for (forge, name, fits) in [
        ("gitlab", "group/sub/sub-2/project", true),
        ("gitlab", "x", false),
        ("bitbucket-dc", "~me/dot.files", true),
        ("bitbucket-cloud", "PROJ/repo_1", true),
        ("bitbucket-cloud", "PROJ/a/b", false),
        ("generic", "x", true),
        ("github", "x", false),
        ("github", "acme/infra/sub", false),
        ("gitea", "infra", false),
    ] {
        let text = with("acme/infra", name).replace("forge = \"github\"", &format!("forge = \"{forge}\""));
        if fits {
            home.ok(&text);
            continue;
        }
        // No delivery ever tells such a name, and no report gets there.
        let says = home.fails(&text);
        let wanted = format!("`{name}` is not a repository's name for `{forge}`");
        assert!(says.contains(&wanted) && says.contains("c.toml:"), "{says}");
    }
    for name in [
        "",
        "/",
        "a//b",
        "/a",
        "a/",
        "../a",
        "a/..",
        "a/.",
        "-a/b",
        "a/-b",
        "a b",
        "a/b.git",
        "a/*",
        "ä/b",
        "a\\\\b",
        "a?b",
        "a/{repository}",
    ] {
        let says = home.fails(&with("acme/infra", name));
        assert!(says.contains("c.toml:"), "{name}: {says}");
    }
    let says = home.fails(&with("[\"acme/infra\"]", "[\"acme/infra\", \"ACME/Infra\"]"));
    assert!(says.contains("listed twice"), "{says}");
    let says = home.fails(&with("repositories = [\"acme/infra\"]\n", ""));
    assert!(says.contains("watches no repository"), "{says}");
    let twice = format!(
        "{GOOD}[[source.repository]]\nname = \"a/b\"\nid = \"5\"\n[[source.repository]]\nname = \"a/c\"\nid = 5\n"
    );
    assert!(home.fails(&source(&twice)).contains("has the same id"));
    for id in [
        "\"\"",
        "\"a b\"",
        "-1",
        "[]",
        "\"a/b\"",
        "\"{}\"",
        "\"{a\"",
        "\"a}b\"",
        &format!("\"{}\"", "1".repeat(65)),
    ] {
        home.fails(&source(&format!("{GOOD}[[source.repository]]\nname = \"a/b\"\nid = {id}\n")));
    }
    // As Bitbucket shows it, and as deliveries are read.
    let braced =
        home.ok(&source(&format!("{GOOD}[[source.repository]]\nname = \"a/b\"\nid = \"{{c8d3-11}}\"\n")));
    assert_eq!(braced.sources[0].repository("a/b").unwrap().id.as_deref(), Some("c8d3-11"));
}

#[test]
fn reports_name_who_and_where() {
    let home = Home::new();
    let report = |forge: &str, text: &str| {
        source(&format!(
            "{}[source.report]\n{text}",
            GOOD.replace("\"github\"\nsecrets", &format!("\"{forge}\"\nsecrets"))
        ))
    };
    let token = "token = { file = \"t\" }\n";
    home.ok(&report("gitea", &format!("api = \"https://x.org/api\"\n{token}")));
    home.ok(&report("github", &format!("api = \"http://127.0.0.1:9\"\n{token}")));
    let app = "app = { id = 1, installation = 2, key = { file = \"k\" } }\n";
    for (forge, text, says) in [
        ("github", token.to_owned(), "`api` is missing"),
        ("github", "api = \"https://x.org\"\n".to_owned(), "nothing says who reports"),
        ("github", format!("api = \"http://x.org\"\n{token}"), "http shows tokens"),
        ("github", format!("api = \"https://x.org/a?b\"\n{token}"), "is not plain"),
        ("github", format!("api = \"https://u:p@x.org\"\n{token}"), "no user and no password"),
        ("github", format!("api = \"https://x.org\"\n{token}{app}"), "both given"),
        ("github", format!("api = \"https://x.org\"\n{token}check-runs = true\n"), "apps of GitHub"),
        ("github", format!("api = \"https://x.org\"\n{token}deadline = \"61m\"\n"), "at most one hour"),
        ("gitea", format!("api = \"https://x.org\"\n{app}"), "only GitHub has apps"),
        ("generic", format!("api = \"https://x.org\"\n{token}"), "generic forge"),
        ("bitbucket-dc", format!("api = \"https://x.org\"\n{token}"), "`link` is missing"),
        ("bitbucket-cloud", format!("api = \"https://x.org\"\n{token}"), "`link` is missing"),
    ] {
        let told = home.fails(&report(forge, &text));
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let home = Home::new();
    let warnings = |text: &str| {
        let loaded = home.load("", text).unwrap_or_else(|error| panic!("{error}"));
        loaded.warnings.into_iter().map(|one| one.message).collect::<Vec<_>>().join("\n")
    };
    let quiet = warnings(&source(&format!(
        "{GOOD}restore = true\nrestore-created = true\nadministrators = [\"a\"]\n"
    )));
    assert!(!quiet.contains("no effect"), "{quiet}");
    let fetch = "[source.fetch]\ncredential = { file = \"t\" }\nuser = \"u\"\nauthority = \"ca\"\n";
    assert!(!warnings(&source(&format!("{GOOD}{fetch}"))).contains("no effect"));
    let report = "[source.report]\napi = \"https://x.org\"\ntoken = { file = \"t\" }\n";
    for (text, says) in [
        (format!("{GOOD}restore-created = true\n"), "`restore-created`"),
        (format!("{GOOD}administrators = [\"a\"]\n"), "`administrators`"),
        (format!("{GOOD}[source.fetch]\nuser = \"u\"\n"), "`user` in [source.fetch]"),
        (format!("{GOOD}[source.fetch]\nknown-hosts = \"k\"\n"), "`known-hosts`"),
        (GOOD.replace("https://github.com/", "file:///srv/") + fetch, "`credential`"),
        (GOOD.replace("https://github.com/", "file:///srv/") + fetch, "`authority`"),
        (format!("{GOOD}{report}user = \"u\"\n"), "`user` in [source.report]"),
        (GOOD.replace("forge = \"github\"", "forge = \"gogs\"") + report, "[source.report]"),
    ] {
        let told = warnings(&source(&text));
        assert!(told.contains(says) && told.contains("has no effect"), "{says}: {told}");
    }
}

#[test]
fn the_listener_proves_itself_and_trusts_few() {
    let home = Home::new();
    let daemon = |text: &str| home.load(text, &source(GOOD));
    let config =
        daemon("trusted-proxies = [\"127.0.0.1\", \"fd00::/8\"]\n[daemon.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"").unwrap().config;
    assert_eq!(config.daemon.trusted_proxies.len(), 2);
    let tls = config.daemon.tls.unwrap();
    assert_eq!((tls.certificate, tls.key), (home.0.path().join("c.pem"), home.0.path().join("k.pem")));
    for wrong in [
        "trusted-proxies = [\"0.0.0.0/0\"]",
        "trusted-proxies = [\"::/0\"]",
        "trusted-proxies = [\"proxy.example.org\"]",
        "trusted-proxies = \"127.0.0.1\"",
        "[daemon.tls]\ncertificate = \"c.pem\"",
        "[daemon.tls]\nkey = \"c.pem\"",
        "[daemon.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\nciphers = \"ALL\"",
    ] {
        assert!(daemon(wrong).is_err(), "{wrong}");
    }
    let warnings = |listen: &str| {
        let text = fs::read_to_string(home.0.path().join("c.toml")).unwrap();
        let text = text.replace("listen = \"127.0.0.1:8417\"\n", listen).replace("ciphers = \"ALL\"", "");
        let text = text.replace("[daemon.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n", "");
        fs::write(home.0.path().join("c.toml"), text).unwrap();
        let loaded = config::load(&home.0.path().join("c.toml")).unwrap_or_else(|error| panic!("{error}"));
        loaded.warnings.into_iter().map(|one| one.message).collect::<Vec<_>>().join("\n")
    };
    assert!(daemon("").is_ok());
    assert!(warnings("listen = \"0.0.0.0:8417\"\n").contains("come in the clear"));
    assert!(daemon("").is_ok());
    assert!(warnings("").contains("can tell nothing"));
}
