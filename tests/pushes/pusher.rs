//! Who pushes, as each kind of server says it, and whom the keyring takes that for (N18).

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::http::HttpServer;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use crate::support::sshd::{Options, Sshd};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A gate for one kind of server, and `alice`, who has that account there.
fn gate(server: &str, accounts: &[&str]) -> (Gate, Signer) {
    let gate = Gate::prepared(PRODUCTION);
    gate.repository_keys.replace(format!("server = \"{server}\""));
    gate.configure(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let mut add = vec!["keyring", "add", "alice", "--email", "alice@example.com", "--group", "sre"];
    add.extend(["--key", alice.public.to_str().unwrap()]);
    accounts.iter().for_each(|account| add.extend(["--account", account]));
    gate.countersign(&add).ok();
    gate.start();
    (gate, alice)
}

fn private(signer: &Signer) -> PathBuf {
    signer.public.with_extension("")
}

fn fingerprint(gate: &Gate, key: &Path) -> String {
    let mut command = gate.sandbox.command("ssh-keygen", gate.sandbox.root());
    command.arg("-lf").arg(key);
    run(command, b"").ok().line().split(' ').nth(1).unwrap().to_owned()
}

/// An `authorized_keys` file.
fn authorized(gate: &Gate, keys: &[(&str, &Path)]) -> PathBuf {
    let lines: Vec<String> =
        keys.iter().map(|(options, key)| format!("{options} {}", fs::read_to_string(key).unwrap())).collect();
    let path = gate.sandbox.path("authorized_keys");
    fs::write(&path, lines.concat()).unwrap();
    path
}

fn pusher(gate: &Gate) -> Value {
    gate.last_decision()["pusher"].clone()
}

#[test]
fn n18_over_ssh_the_key_of_the_login_is_the_pusher() {
    let (gate, alice) = gate("sshd-key", &[]);
    let guest = Signer::ssh(&gate.sandbox, "guest", &["ecdsa"]);
    let keys = authorized(&gate, &[("restrict", &alice.public), ("restrict", &guest.public)]);
    let options = Options { lines: "ExposeAuthInfo yes", authorized_keys: Some(&keys), ..Options::default() };
    let sshd = Sshd::with(&gate.sandbox, &options);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    // What somebody sets who pushes past sshd, or what another server would set, is not asked for.
    let local = Clone::at(&gate, &bare, &work.path).with_env("GATE_USER", "alice");
    local.push(&["main"]).assert_undecided("SSH_USER_AUTH is not set");
    let text = local.push(&["main"]).text();
    assert!(text.contains("unknown-pusher") && text.contains("ExposeAuthInfo yes"), "{text}");

    let over = |signer: &Signer| {
        Clone::at(&gate, &bare, &work.path).over(sshd.url(&bare), &sshd.client_with(&[&private(signer)]))
    };
    over(&alice).accepted(&["main"]);
    let wanted = json!({
        "identity": "known", "name": fingerprint(&gate, &alice.public), "source": "SSH_USER_AUTH",
        "principal": "alice", "proof": "key",
    });
    assert_eq!(pusher(&gate), wanted);

    // Alice's signature, pushed by somebody of whom the keyring knows nothing.
    work.commit(Some(&alice), "OPS-2: by another hand");
    over(&guest).accepted(&["main"]);
    let wanted = json!({
        "identity": "known", "name": fingerprint(&gate, &guest.public), "source": "SSH_USER_AUTH",
        "proof": "key", "details": { "key.status": "unknown-key" },
    });
    assert_eq!(pusher(&gate), wanted);

    let shown = gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(shown.contains("(principal alice, by key, SSH_USER_AUTH)"), "{shown}");
    assert!(shown.contains("(nobody of the keyring, by key, SSH_USER_AUTH)"), "{shown}");
    assert!(shown.contains("pusher key.status=unknown-key"), "{shown}");
    gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn n18_a_revoked_key_is_nobody_though_sshd_lets_it_in() {
    let (gate, alice) = gate("sshd-key", &[]);
    let old = Signer::ssh(&gate.sandbox, "old", &["ed25519"]);
    gate.countersign(&["keyring", "add", "alice", "--key", old.public.to_str().unwrap()]).ok();
    let file = gate.home.join("keyring/alice.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("revoked = { at = 2020-01-01T00:00:00Z, reason = \"compromised\" }\n");
    fs::write(&file, text).unwrap();
    gate.reload();
    let keys = authorized(&gate, &[("", &old.public)]);
    let options = Options { lines: "ExposeAuthInfo yes", authorized_keys: Some(&keys), ..Options::default() };
    let sshd = Sshd::with(&gate.sandbox, &options);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare).over(sshd.url(&bare), &sshd.client_with(&[&private(&old)]));
    work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    let pusher = pusher(&gate);
    assert_eq!((&pusher["principal"], &pusher["details"]["key.status"]), (&Value::Null, &json!("revoked")));
    assert_eq!(pusher["name"], fingerprint(&gate, &old.public));
}

#[test]
fn n18_a_certificate_by_a_pinned_authority_says_who_it_is() {
    let (gate, alice) = gate("sshd-key", &[]);
    for name in ["ca", "foreign"] {
        Signer::ssh(&gate.sandbox, name, &["ed25519"]);
    }
    let home = gate.sandbox.path("home");
    let pinned = fs::read_to_string(home.join("ca.pub")).unwrap();
    let text = format!(
        "name = \"ca\"\nkind = \"bot\"\n[[authority]]\nssh = \"{}\"\nprincipals = [\"*@example.com\"]\n",
        pinned.trim()
    );
    fs::write(gate.home.join("keyring/ca.toml"), text).unwrap();
    gate.reload();
    // Options about logins are sshd's, and it keeps to them.
    let certify = |authority: &str, key: &str, principals: &str| {
        Signer::ssh(&gate.sandbox, key, &["ed25519"]);
        let mut command = gate.sandbox.command("ssh-keygen", &home);
        command.args(["-q", "-s", authority, "-I", "a laptop", "-n", principals, "-z", "7", "-V", "-1m:+1h"]);
        command.args(["-O", "source-address=127.0.0.0/8", &format!("{key}.pub")]);
        run(command, b"").ok();
        home.join(key)
    };
    let keys = authorized(
        &gate,
        &[
            ("cert-authority,principals=\"alice@example.com,root@example.net\"", &home.join("ca.pub")),
            ("cert-authority,principals=\"alice@example.com\"", &home.join("foreign.pub")),
        ],
    );
    let options = Options { lines: "ExposeAuthInfo yes", authorized_keys: Some(&keys), ..Options::default() };
    let sshd = Sshd::with(&gate.sandbox, &options);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let by = |key: &Path| {
        work.commit(Some(&alice), "OPS-1: more");
        let over = Clone::at(&gate, &bare, &work.path);
        over.over(sshd.url(&bare), &sshd.client_with(&[key])).accepted(&["main"]);
        pusher(&gate)
    };
    let known = by(&certify("ca", "laptop", "alice@example.com"));
    assert_eq!(known["principal"], "alice", "{known}");
    assert_eq!(known["name"], fingerprint(&gate, &home.join("laptop.pub")));
    let details = json!({
        "key.authority": fingerprint(&gate, &home.join("ca.pub")), "key.certificate": "a laptop", "key.serial": "7",
    });
    assert_eq!(known["details"], details);
    // sshd trusts this authority, the keyring does not.
    let foreign = by(&certify("foreign", "pc", "alice@example.com"));
    assert_eq!(
        (&foreign["principal"], &foreign["details"]["key.status"]),
        (&Value::Null, &json!("unknown-key"))
    );
    // For somebody the pinned authority may not speak for.
    let other = by(&certify("ca", "server", "root@example.net"));
    assert_eq!(
        (&other["principal"], &other["details"]["key.status"]),
        (&Value::Null, &json!("wrong-purpose"))
    );
}

#[test]
fn n18_a_login_that_takes_two_keys_is_of_one_person() {
    let (gate, alice) = gate("sshd-key", &[]);
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let device = Signer::ssh(&gate.sandbox, "device", &["ed25519"]);
    gate.countersign(&["keyring", "add", "bob", "--key", bob.public.to_str().unwrap()]).ok();
    gate.reload();
    let keys = authorized(&gate, &[("", &alice.public), ("", &bob.public), ("", &device.public)]);
    let options = Options {
        lines: "ExposeAuthInfo yes\nAuthenticationMethods publickey,publickey",
        authorized_keys: Some(&keys),
        ..Options::default()
    };
    let sshd = Sshd::with(&gate.sandbox, &options);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    let with = |one: &Signer, two: &Signer| {
        let over = Clone::at(&gate, &bare, &work.path);
        over.over(sshd.url(&bare), &sshd.client_with(&[&private(one), &private(two)]))
    };
    with(&alice, &bob).push(&["main"]).assert_undecided("keys of `alice` and of `bob`");
    with(&device, &alice).accepted(&["main"]);
    let pusher = pusher(&gate);
    assert_eq!(
        (&pusher["principal"], &pusher["name"]),
        (&json!("alice"), &json!(fingerprint(&gate, &alice.public)))
    );
    assert_eq!(pusher["details"]["key.methods"], "publickey, publickey");
}

#[test]
fn n18_what_a_client_sends_as_its_environment_names_nobody() {
    let (gate, alice) = gate("sshd-key", &[]);
    let guest = Signer::ssh(&gate.sandbox, "guest", &["ed25519"]);
    let keys = authorized(&gate, &[("", &alice.public), ("", &guest.public)]);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    // A file of the account itself that says what sshd would say of alice.
    let line = fs::read_to_string(&alice.public).unwrap();
    let forged = format!("publickey {}\n", line.rsplit_once(" test").unwrap().0);
    let place = gate.sandbox.path("object");
    fs::write(&place, forged).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
    let push_by = |lines: &str| {
        let sshd =
            Sshd::with(&gate.sandbox, &Options { lines, authorized_keys: Some(&keys), ..Options::default() });
        let client =
            format!("{} -o SetEnv=SSH_USER_AUTH={}", sshd.client_with(&[&private(&guest)]), place.display());
        Clone::at(&gate, &bare, &work.path).over(sshd.url(&bare), &client).push(&["main"])
    };
    // sshd exposes nothing and takes what the client sends: the worst that can be configured.
    push_by("AcceptEnv SSH_*").assert_undecided("its name is none that sshd gives");
    // sshd exposes it, and that comes after what the client sends.
    push_by("ExposeAuthInfo yes\nAcceptEnv SSH_*").assert_accepted();
    assert_eq!(pusher(&gate)["name"], fingerprint(&gate, &guest.public));
    // The same for what stands beside a key in `authorized_keys`.
    let beside = format!("environment=\"SSH_USER_AUTH={}\"", place.display());
    authorized(&gate, &[(&beside, &guest.public)]);
    work.commit(Some(&alice), "OPS-2: more");
    push_by("ExposeAuthInfo yes\nPermitUserEnvironment yes").assert_accepted();
    assert_eq!(pusher(&gate)["name"], fingerprint(&gate, &guest.public));
}

#[test]
fn n18_only_what_a_principal_lists_is_its_account() {
    let (gate, alice) = gate("gitolite", &["gitolite:alice", "gitlab:asmith"]);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let by = |account: &str| {
        work.commit(Some(&alice), "OPS-1: more");
        let work = Clone::at(&gate, &bare, &work.path).with_env("GL_USER", account).with_env("GL_TID", "77");
        work.accepted(&["main"]);
        pusher(&gate)
    };
    let wanted = json!({
        "identity": "known", "name": "alice", "source": "GL_USER", "principal": "alice", "proof": "server",
        "details": { "GL_TID": "77" },
    });
    assert_eq!(by("alice"), wanted);
    // Another server's account, another case, an address, something around it.
    for other in ["asmith", "Alice", "alice@example.com", "alice ", "gitolite:alice", "bob\u{1b}[31m"] {
        let pusher = by(other);
        assert_eq!(pusher["principal"], Value::Null, "{pusher}");
    }
    assert_eq!(pusher(&gate)["name"], "bob\\x1b[31m");
    let shown = gate.countersign(&["audit", "log"]).ok().stdout;
    assert!(shown.contains("alice (principal alice, the server's word, GL_USER)"), "{shown}");
    assert!(shown.contains("asmith (nobody of the keyring, the server's word, GL_USER)"), "{shown}");
}

#[test]
fn n18_each_server_is_asked_for_its_own_variables_only() {
    let servers: &[(&str, &str)] = &[
        ("sshd", "GATE_USER"),
        ("git-http-backend", "REMOTE_USER"),
        ("gitolite", "GL_USER"),
        ("gitea", "GITEA_PUSHER_NAME"),
        ("forgejo", "GITEA_PUSHER_NAME"),
        ("gitlab", "GL_USERNAME"),
        ("ghes", "GITHUB_USER_LOGIN"),
        ("soft-serve", "SOFT_SERVE_USERNAME"),
        ("bitbucket-dc", "BB_USER_NAME"),
    ];
    let (gate, alice) = gate("sshd", &["alice"]);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    for (server, variable) in servers {
        gate.repository_keys.replace(format!("server = \"{server}\""));
        gate.reconfigure(PRODUCTION);
        work.commit(Some(&alice), "OPS-1: more");
        let all = servers.iter().filter(|(_, other)| other != variable);
        let others =
            all.fold(Clone::at(&gate, &bare, &work.path), |work, (_, other)| work.with_env(other, "alice"));
        let others = others.with_env("SSH_USER_AUTH", "/tmp/sshauth.none");
        others.push(&["main"]).assert_undecided(variable);
        // Set to nothing is not set.
        let others = others.with_env(variable, "");
        others.push(&["main"]).assert_undecided(&format!("configured as `{server}`"));
        others.with_env(variable, "alice").accepted(&["main"]);
        let pusher = pusher(&gate);
        assert_eq!((&pusher["name"], &pusher["source"]), (&json!("alice"), &json!(variable)), "{server}");
        assert_eq!((&pusher["principal"], &pusher["proof"]), (&json!("alice"), &json!("server")), "{server}");
        assert_eq!(pusher["details"], Value::Null, "{server}");
    }
}

#[test]
fn n18_gitlab_tells_a_number_beside_the_name() {
    let (gate, alice) = gate("gitlab", &["gitlab:alice"]);
    let bot = Signer::ssh(&gate.sandbox, "deploy", &["ed25519"]);
    let key = bot.public.to_str().unwrap();
    let add = ["keyring", "add", "deploy", "--kind", "bot", "--account", "gitlab:#key-9", "--key", key];
    gate.countersign(&add).ok();
    gate.reload();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let by = |id: &str, protocol: &str| {
        work.commit(Some(&alice), "OPS-1: more");
        let work = Clone::at(&gate, &bare, &work.path).with_env("GL_USERNAME", "alice");
        work.with_env("GL_ID", id).with_env("GL_PROTOCOL", protocol).accepted(&["main"]);
        pusher(&gate)
    };
    let over_http = by("user-2", "http");
    assert_eq!((&over_http["principal"], &over_http["source"]), (&json!("alice"), &json!("GL_USERNAME")));
    assert_eq!(over_http["details"], json!({ "GL_ID": "user-2", "GL_PROTOCOL": "http" }));
    // A deploy key comes under the name of whoever made it. Its number says whose it really is.
    let deploy = by("key-9", "ssh");
    assert_eq!((&deploy["principal"], &deploy["name"]), (&json!("deploy"), &json!("#key-9")));
    assert_eq!((&deploy["source"], &deploy["details"]["GL_USERNAME"]), (&json!("GL_ID"), &json!("alice")));
    // One that nobody lists is nobody's, whoever made it: it may be a deploy key.
    assert_eq!(by("key-4", "ssh")["principal"], Value::Null);
    // Whoever lists a number of theirs is known by that alone: the name may be somebody else's by now.
    let file = gate.home.join("keyring/alice.toml");
    let text = fs::read_to_string(&file).unwrap();
    let listed = |accounts: &str| {
        fs::write(&file, text.replace("\"gitlab:alice\"", accounts)).unwrap();
        gate.reload();
    };
    listed("\"gitlab:alice\", \"gitlab:#user-2\"");
    assert_eq!(by("user-2", "http")["principal"], "alice");
    assert_eq!(by("user-3", "http")["principal"], Value::Null);
    assert_eq!(by("key-4", "ssh")["principal"], Value::Null);
    listed("\"gitlab:alice\", \"gitlab:#key-4\"");
    assert_eq!(by("key-4", "ssh")["principal"], "alice");
    assert_eq!(by("key-5", "ssh")["principal"], Value::Null);
    // A name that looks like a number is none, and is no key either.
    listed("\"gitlab:key-4\"");
    assert_eq!(by("key-4", "ssh")["principal"], Value::Null);
}

#[test]
fn n01_whom_a_ruleset_leaves_alone_is_held_to_the_built_in_rules() {
    let (gate, alice) = gate("gitolite", &["gitolite:alice"]);
    gate.reconfigure(CONTRACTORS);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare).with_env("GL_USER", "alice");
    work.commit(Some(&alice), "anything");
    work.accepted(&["main"]);
    let tree = work.id("main^{tree}");
    let who = "A <a@example.com> 1700000000 +0000";
    let twice = format!(
        "tree {tree}\nparent {}\nauthor {who}\nauthor {who}\ncommitter {who}\n\nOPS-1: two authors\n",
        work.id("main")
    );
    let arguments = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let odd = gate.sandbox.git_with_input(&work.path, &arguments, twice.as_bytes()).ok();
    work.push(&[&format!("{}:main", odd.line())]).assert_refused(&["malformed-object"]);
    // Below a tip that is fine as well.
    work.git(&["reset", "--quiet", "--hard", odd.line()]).ok();
    work.commit(None, "on top");
    work.push(&["main"]).assert_refused(&["malformed-object"]);
    let record = gate.last_decision();
    assert_eq!((&record["outcome"], &record["pusher"]["principal"]), (&json!("refuse"), &json!("alice")));
}

#[test]
fn n18_a_deploy_key_of_gitea_is_not_the_owner_of_the_repository() {
    let (gate, alice) = gate("gitea", &["gitea:alice", "gitea:#17"]);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let by = |name: &str, id: &str, key: &str| {
        work.commit(Some(&alice), "OPS-1: more");
        let work = Clone::at(&gate, &bare, &work.path).with_env("GITEA_PUSHER_NAME", name);
        work.with_env("GITEA_PUSHER_ID", id).with_env("GITEA_DEPLOY_KEY_ID", key)
    };
    by("alice", "17", "0").accepted(&["main"]);
    let owner = pusher(&gate);
    assert_eq!((&owner["principal"], &owner["name"]), (&json!("alice"), &json!("alice")));
    // Renamed: the number stays.
    by("alice-2", "17", "0").accepted(&["main"]);
    assert_eq!(pusher(&gate)["principal"], "alice");
    // Gitea says the owner's name and number here.
    by("alice", "17", "5").accepted(&["main"]);
    let deploy = pusher(&gate);
    assert_eq!((&deploy["principal"], &deploy["name"]), (&Value::Null, &json!("#deploy-key-5")));
    assert_eq!(deploy["source"], "GITEA_DEPLOY_KEY_ID");
    assert_eq!(deploy["details"]["GITEA_PUSHER_ID"], "17");
    by("alice", "17", "five").push(&["main"]).assert_undecided("GITEA_DEPLOY_KEY_ID is `five`");
}

#[test]
fn n18_git_http_backend_says_who_the_web_server_let_in() {
    let (gate, alice) = gate("git-http-backend", &["git-http-backend:alice"]);
    let bare = gate.repository("infra/live");
    let root = gate.home.join("repositories");
    let server = HttpServer::start(&root, &[("alice", "secret"), ("guest", "other")]);
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    let over = |user: &str| {
        let work = Clone::at(&gate, &bare, &work.path);
        work.over(server.url(user, "infra/live.git"), "false")
    };
    // A header of that name is another variable, whoever sends it.
    let config = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.extraHeader")];
    let posing = config.iter().fold(over("guest:other"), |work, (key, value)| work.with_env(key, value));
    posing.with_env("GIT_CONFIG_VALUE_0", "Remote-User: alice").accepted(&["main"]);
    let guest = pusher(&gate);
    assert_eq!((&guest["name"], &guest["principal"]), (&json!("guest"), &Value::Null));
    assert_eq!(gate.last_decision()["peer"]["address"], "127.0.0.1");

    work.commit(Some(&alice), "OPS-2: more");
    over("alice:secret").accepted(&["main"]);
    assert_eq!(pusher(&gate)["principal"], "alice");
    work.commit(None, "OPS-3: unsigned");
    over("alice:secret").push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    // A web server that lets everybody push says nothing.
    gate.sandbox.git(&bare, &["config", "http.receivePack", "true"]).ok();
    work.commit(Some(&alice), "OPS-4: more");
    let open = HttpServer::start(&root, &[]);
    let anybody =
        Clone::at(&gate, &bare, &work.path).over(open.url("alice:secret", "infra/live.git"), "false");
    anybody.push(&["main"]).assert_undecided("REMOTE_USER is not set");
}

/// Tickets, and from contractors signatures as well.
const CONTRACTORS: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "contractors"
repositories = ["**"]
refs = ["refs/heads/main"]
actors = ["group:contractors"]

[ruleset.refuse]
missing-ticket = { projects = ["OPS"], where = ["subject"] }
"#;

#[test]
fn n18_a_ruleset_for_some_spares_only_whom_the_keyring_knows() {
    let (gate, _) = gate("gitolite", &["gitolite:alice"]);
    let bob = Signer::ssh(&gate.sandbox, "bob", &["ed25519"]);
    let add = ["keyring", "add", "bob", "--group", "contractors", "--account", "gitolite:bob", "--key"];
    gate.countersign(&[&add[..], &[bob.public.to_str().unwrap()]].concat()).ok();
    gate.reconfigure(CONTRACTORS);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let by = |account: &str| Clone::at(&gate, &bare, &work.path).with_env("GL_USER", account);
    work.commit(None, "no ticket");
    by("bob").push(&["main"]).assert_refused(&["missing-ticket"]);
    // Nobody of the keyring, though called like somebody: a ruleset that is narrowed holds for such.
    by("carol").push(&["main"]).assert_refused(&["missing-ticket"]);
    by("Alice").push(&["main"]).assert_refused(&["missing-ticket"]);
    by("alice").accepted(&["main"]);
    assert_eq!(pusher(&gate)["principal"], "alice");
}

#[test]
fn n19_no_bypass_for_what_an_agent_signed_though_no_rule_looks_at_commits() {
    let gate = Gate::prepared(PRODUCTION);
    gate.repository_keys.replace("server = \"gitolite\"".to_owned());
    gate.configure(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"refs\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\", \"refs/heads/new\"]\n\n[ruleset.refuse]\nforce-push = true\nref-creation = true\n\n\
         [[ruleset.bypass]]\nwho = [\"person:alice\"]\nproof = \"pusher\"\nrules = [\"force-push\", \"ref-creation\"]\n\
         reason = \"she keeps it\"\n",
    );
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let agent = Signer::ssh(&gate.sandbox, "autofix", &["ed25519"]);
    let add = |name: &str, kind: &str, key: &Path, more: &[&str]| {
        let email = format!("{name}@example.com");
        let add = ["keyring", "add", name, "--kind", kind, "--email", &email, "--key", key.to_str().unwrap()];
        gate.countersign(&[&add[..], more].concat()).ok();
    };
    add("alice", "person", &alice.public, &["--account", "alice"]);
    add("autofix", "agent", &agent.public, &[]);
    gate.start();
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare).with_env("GL_USER", "alice");
    work.commit(Some(&alice), "base");
    let base = work.id("HEAD");
    work.accepted(&["main"]);
    assert!(gate.last_decision().to_string().contains("she keeps it"));
    let other = work.commit(Some(&alice), "one");
    work.accepted(&["main"]);
    // Hers, and she may.
    work.git(&["reset", "--quiet", "--hard", &base]).ok();
    work.commit(Some(&alice), "another");
    work.accepted(&["--force", "main"]);
    work.accepted(&["main:new"]);
    // Below the tip is an agent's. That another ref has it already changes nothing.
    work.git(&["reset", "--quiet", "--hard", &base]).ok();
    work.commit(Some(&agent), "by an agent");
    work.commit(Some(&alice), "on top");
    work.push(&["--force", "main"]).assert_refused(&["force-push"]);
    work.accepted(&["main:refs/heads/scratch"]);
    work.push(&["--force", "main"]).assert_refused(&["force-push"]);
    work.push(&["--force", "main:refs/heads/scratch", "main:new"]).assert_refused(&["force-push"]);
    // What the ref had before is not what the push brings.
    work.accepted(&["--force", &format!("{other}:main")]);
}
