//! The JSON schema of the configuration file. Options of rules come from the rules' catalog; a test holds every
//! table here against the keys that the loader knows.

use super::{Repositories, ServerKind};
use crate::forge::ForgeKind;
use crate::policy::rules::{self, Opt, Shape, option};
use serde_json::{Map, Value, json};

const DAEMON: &[Opt] = &[
    option("socket", Shape::Text, "the Unix socket that hooks connect to; at most 107 bytes").required(),
    option("listen", Shape::Text, "ADDRESS:PORT where health is served"),
    option("state", Shape::Text, "the directory of the audit log and other durable state").required(),
    option("last-good", Shape::Span, "how long the last good state decides after newer was rejected")
        .default("\"24h\""),
    option("contact", Shape::Text, "whom pushers may ask; one line"),
];

const ALLOWED_SIGNERS: &[Opt] = &[
    option("path", Shape::Text, "the file, in OpenSSH's format").required(),
    option("groups", Shape::AnyTexts, "the groups of those that only the file names"),
    option("timezone", Shape::Text, "the zone of times without Z"),
];

const TRUSTED_SOURCE: &[Opt] = &[
    option("repository", Shape::Text, "the repository, by its name below the root").required(),
    option("ref", Shape::Text, "the full name of the ref").required(),
    option("path", Shape::Text, "the directory with the principals' files; left out, the root"),
    option("rulesets", Shape::Text, "the directory with files of rulesets that are followed, too"),
    option("signers", Shape::Texts, "who has to sign each change: groups").required(),
];

const REVOCATION: &[Opt] = &[
    option("path", Shape::Text, "the file, as ssh-keygen -k makes it, or one public key a line").required(),
    option("reason", Shape::Word(&["compromised", "retired", "superseded"]), "why what it lists is refused")
        .default("\"compromised\""),
    option("at", Shape::Time, "when you learned it"),
    option("effective-from", Shape::Time, "for compromised keys: since when"),
    option("allow-empty", Shape::Flag, "whether it may list nothing").default("false"),
];

const SIGNATURES: &[Opt] = &[
    option("max-future", Shape::Span, "how far a signature's own time may lie after its receipt")
        .default("\"5m\""),
    option("max-skew", Shape::Span, "how far it may lie from the committer's or tagger's").default("\"1h\""),
    option("certificate-grace", Shape::Span, "how long after its end a certificate may still be received")
        .default("\"24h\""),
    option("text-signatures", Shape::Flag, "OpenPGP text signatures count").default("false"),
    option("sha1-bindings", Shape::Flag, "OpenPGP self-signatures made with SHA-1 count").default("false"),
    option("trailing-timestamps", Shape::Flag, "an OpenTimestamps block may follow a signature")
        .default("false"),
    option("touch", Shape::Word(&["required", "any"]), "a FIDO signature comes with a touch")
        .default("\"required\""),
    option(
        "user-verification",
        Shape::Word(&["required", "any"]),
        "a FIDO signature comes with a PIN or a finger",
    )
    .default("\"any\""),
    option("fido-applications", Shape::Texts, "what FIDO keys may be made for").default("[\"ssh:*\"]"),
    option("fido-counter", Shape::Word(&["report", "refuse"]), "a FIDO counter that did not rise")
        .default("\"report\""),
    option(
        "endless-certificates",
        Shape::Word(&["report", "refuse"]),
        "an OpenSSH certificate without an end",
    )
    .default("\"report\""),
    option(
        "merge-tags",
        Shape::Word(&["ignore", "report", "refuse"]),
        "a merged tag whose signature does not verify",
    )
    .default("\"report\""),
];

const LIMITS: &[Opt] = &[
    option("refs", Shape::Count(1), "ref updates in one push").default("5000"),
    option("commits", Shape::Count(1), "commits that one ruleset has to judge").default("100000"),
    option("parents", Shape::Count(1), "parents of one commit").default("64"),
    option("object-bytes", Shape::Size, "one commit or tag").default("\"1 MiB\""),
    option("push-bytes", Shape::Size, "all judged commits and tags together").default("\"512 MiB\""),
    option("message-bytes", Shape::Size, "one message").default("\"64 KiB\""),
    option("tag-depth", Shape::Count(1), "annotated tags that point at annotated tags").default("4"),
    option("tree-entries", Shape::Count(1), "entries of trees that path rules look at").default("50000000"),
    option("tree-bytes", Shape::Size, "bytes of those trees").default("\"4 GiB\""),
    option("one-tree-bytes", Shape::Size, "one of those trees").default("\"64 MiB\""),
    option("tree-depth", Shape::Count(1), "directories above one path").default("256"),
    option("changed-paths", Shape::Count(1), "paths that the push changes").default("1000000"),
    option("changed-path-bytes", Shape::Size, "bytes of those paths").default("\"256 MiB\""),
    option("one-path-bytes", Shape::Size, "one of those paths").default("4096"),
    option("blobs", Shape::Count(1), "files that rules look into").default("1000000"),
    option("blob-bytes", Shape::Size, "bytes that are read of them").default("\"2 GiB\""),
    option("violations", Shape::Count(1), "violations shown and recorded").default("50"),
    option("deadline", Shape::Span, "the time that one push may take").default("\"30s\""),
];

const BYPASS: &[Opt] = &[
    option("who", Shape::Selectors, "whom it is for").required(),
    option("proof", Shape::Word(&["key", "pusher"]), "what shows that it is them").required(),
    option("rules", Shape::Texts, "which of the ruleset's rules they may break").required(),
    option("refs", Shape::Refs, "on which of the ruleset's refs"),
    option("reason", Shape::Text, "why it is there").required(),
    option("expires", Shape::Time, "from when on it does nothing"),
    option("ask", Shape::Flag, "whether it has to be asked for by push option").default("false"),
];

const TENANT: &[Opt] = &[
    option("name", Shape::Text, "its name; its rulesets are called TENANT/NAME").required(),
    option("repositories", Shape::Patterns, "its repositories").required(),
    option("include", Shape::Text, "its files; wildcards in the last part only").required(),
];

const SOURCE: &[Opt] = &[
    option("name", Shape::Text, "its name; records about its repositories hang on it").required(),
    option("path", Shape::Text, "the path of the URL that it delivers to; /hooks/NAME if left out"),
    option("repositories", Shape::Texts, "the repositories that are watched, by their path at the forge"),
    option("url", Shape::Text, "where they are fetched from; {repository} stands for the name"),
    option("max-body", Shape::Size, "the largest body of a delivery").default("\"25 MiB\""),
    option("sweep", Shape::Span, "how often its repositories are looked at unasked; 0 is never")
        .default("\"10m\""),
    option("restore", Shape::Flag, "whether refs that should not have moved are moved back").default("false"),
    option(
        "restore-created",
        Shape::Flag,
        "whether branches that should not have been made are deleted then",
    )
    .default("false"),
    option("administrators", Shape::AnyTexts, "accounts at the forge whose moves are never taken back")
        .default("[]"),
];

const FETCH: &[Opt] = &[
    option("user", Shape::Text, "the name that goes with a password or token"),
    option("known-hosts", Shape::Text, "the file with the host keys that count; needed for ssh"),
    option("authority", Shape::Text, "the file with the certificate authorities that count for https"),
    option("deadline", Shape::Span, "how long one fetch may take").default("\"5m\""),
    option("quota", Shape::Size, "how large one mirror may become").default("\"10 GiB\""),
];

const REPORT: &[Opt] = &[
    option("api", Shape::Text, "the base address of the forge's API").required(),
    option("user", Shape::Text, "the account that the token goes with, where the forge asks for it"),
    option("check-runs", Shape::Flag, "whether an app of GitHub makes check runs as well").default("false"),
    option("link", Shape::Text, "the address that people reach this gate's decisions at"),
    option("authority", Shape::Text, "the file with the certificate authorities that count for the API"),
    option("deadline", Shape::Span, "how long one call may take").default("\"20s\""),
];

/// What holds for every rule besides its own options.
const EVERY_RULE: &[Opt] = &[
    option("help", Shape::Text, "a text or an address that its refusals show"),
    option("effective-from", Shape::Time, "commits on the gate's record from before are not judged by it"),
];

/// The schema of the configuration file.
pub fn schema() -> Value {
    let mut repositories = table(&[
        option("root", Shape::Text, "the directory below which repositories lie").required(),
        option("namespaces", Shape::Texts, "ref hierarchies that may be pushed"),
        option(
            "allow-symref-push",
            Shape::Flag,
            "whether a push to a symbolic ref is judged as one to its target",
        )
        .default("false"),
    ]);
    let servers: Vec<&str> = ServerKind::ALL.iter().map(|kind| kind.name()).collect();
    add(
        &mut repositories,
        "server",
        json!({ "enum": servers, "description": "what serves them, and so what names the pusher" }),
    );
    repositories["properties"]["namespaces"]["default"] = json!(Repositories::NAMESPACES);
    let mut daemon = table(DAEMON);
    add(
        &mut daemon,
        "clients",
        json!({
            "type": "array", "minItems": 1, "items": { "type": "integer", "minimum": 0, "maximum": u32::MAX - 1 },
            "description": "user ids that may ask over the socket",
        }),
    );
    let tls = table(&[
        option("certificate", Shape::Text, "the certificate and those above it, in PEM").required(),
        option("key", Shape::Text, "the private key, in PEM").required(),
    ]);
    add(&mut daemon, "tls", tls);
    add(
        &mut daemon,
        "trusted-proxies",
        json!({
            "type": "array", "items": { "type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]+)?$" },
            "description": "addresses and networks whose word counts on where a connection comes from",
        }),
    );
    let mut keyring =
        table(&[option("path", Shape::Text, "the directory with one file per principal").required()]);
    add(&mut keyring, "allowed-signers", list_of(table(ALLOWED_SIGNERS)));
    add(&mut keyring, "revocation", list_of(table(REVOCATION)));
    add(&mut keyring, "source", table(TRUSTED_SOURCE));
    let mut policy = table(&[
        option(
            "uncovered",
            Shape::Word(&["accept", "refuse"]),
            "what becomes of refs that no enforcing ruleset covers",
        )
        .required(),
        option("include", Shape::Text, "further files of rulesets; wildcards in the last part only"),
    ]);
    let by_default: Map<String, Value> =
        rules::BY_DEFAULT.iter().map(|name| ((*name).to_owned(), reference(name))).collect();
    add(&mut policy, "defaults", object(by_default, &[]));
    add(&mut policy, "tenant", list_of(table(TENANT)));
    let properties = [
        ("contact", shape(Shape::Text)),
        ("daemon", daemon),
        ("keyring", keyring),
        ("repositories", repositories),
        ("policy", policy),
        ("limits", table(LIMITS)),
        ("signatures", table(SIGNATURES)),
        ("ruleset", list_of(json!({ "$ref": "#/$defs/ruleset" }))),
        ("source", list_of(source())),
    ];
    let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    document(
        "Countersign: the configuration",
        object(properties, &["daemon", "keyring", "repositories", "policy"]),
    )
}

fn source() -> Value {
    let number_or_text = |about: &str| json!({ "type": ["integer", "string"], "description": about });
    let mut source = table(SOURCE);
    source["properties"]["name"]["pattern"] = json!("^[a-z0-9][a-z0-9._-]*$");
    source["properties"]["path"]["pattern"] = json!("^/[A-Za-z0-9._~/-]+$");
    let forges: Vec<&str> = ForgeKind::ALL.iter().map(|kind| kind.name()).collect();
    add(&mut source, "forge", json!({ "enum": forges, "description": "what it is" }));
    let mut secret = secret_place("what deliveries are authenticated with");
    add(
        &mut secret,
        "kind",
        json!({ "enum": ["hmac", "token", "signing"], "description": "what is done with it" }),
    );
    let secrets = json!({
        "anyOf": [{ "type": "array", "minItems": 1, "items": secret.clone() }, secret],
        "description": "what deliveries are authenticated with; any one of them does",
    });
    add(&mut source, "secrets", secrets);
    let mut repository = table(&[
        option("name", Shape::Text, "its path at the forge").required(),
        option("url", Shape::Text, "where it is fetched from"),
    ]);
    add(&mut repository, "id", number_or_text("the forge's own id of it; learnt if left out"));
    add(&mut source, "repository", list_of(repository));
    let mut fetch = table(FETCH);
    add(&mut fetch, "credential", secret_place("the password or token for https, the private key for ssh"));
    add(&mut source, "fetch", fetch);
    let mut report = table(REPORT);
    add(&mut report, "token", secret_place("what the forge knows the reporter by"));
    let mut app = table(&[]);
    add(&mut app, "id", number_or_text("the app's id"));
    add(&mut app, "installation", number_or_text("the installation's id"));
    add(&mut app, "key", secret_place("the app's private key"));
    app["required"] = json!(["id", "installation", "key"]);
    add(&mut report, "app", app);
    add(&mut source, "report", report);
    source["required"] = json!(["name", "forge", "secrets"]);
    source
}

fn secret_place(about: &str) -> Value {
    let mut place = table(&[
        option("file", Shape::Text, "the file that holds it"),
        option("env", Shape::Text, "the variable that holds it"),
        option("credential", Shape::Text, "its name among the credentials that systemd gives"),
    ]);
    place["description"] = json!(about);
    place
}

/// The schema of included files.
pub fn included() -> Value {
    let rulesets = ("ruleset".to_owned(), list_of(json!({ "$ref": "#/$defs/ruleset" })));
    document("Countersign: an included file", object(Map::from_iter([rulesets]), &[]))
}

fn document(title: &str, mut schema: Value) -> Value {
    let mut definitions: Map<String, Value> =
        rules::ALL.iter().map(|kind| (format!("rule-{}", kind.name), rule(kind))).collect();
    definitions.insert("ruleset".to_owned(), ruleset());
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema["$defs"] = Value::Object(definitions);
    schema
}

fn ruleset() -> Value {
    let mut ruleset = table(&[
        option("name", Shape::Text, "its name; records hang on it").required(),
        option("repositories", Shape::Patterns, "names of repositories below the root").required(),
        option("refs", Shape::Refs, "full names of refs; ! excludes").required(),
        option("enforcement", Shape::Word(&["enforce", "evaluate", "off"]), "whether its refusals count")
            .default("\"enforce\""),
        option("actors", Shape::Selectors, "whose pushes it judges; left out, everybody's"),
    ]);
    ruleset["properties"]["name"]["pattern"] = json!("^[a-z0-9][a-z0-9._-]*$");
    let all = rules::ALL.iter().map(|kind| (kind.name.to_owned(), reference(kind.name)));
    let mut refuse = object(all.collect(), &[]);
    refuse["minProperties"] = json!(1);
    add(&mut ruleset, "refuse", refuse);
    if let Some(required) = ruleset["required"].as_array_mut() {
        required.push(json!("refuse"));
    }
    add(&mut ruleset, "bypass", list_of(table(BYPASS)));
    ruleset
}

fn reference(rule: &str) -> Value {
    json!({ "$ref": format!("#/$defs/rule-{rule}") })
}

/// A rule: `false`, `true` where nothing is required, or its options.
fn rule(kind: &rules::Kind) -> Value {
    let options = rules::options_of(kind.name);
    let mut with = table(options);
    for one in EVERY_RULE {
        add(&mut with, one.name, described(one));
    }
    // Options that the catalog does not know yet can be written all the same.
    for name in rules::names_of(kind) {
        if with["properties"].get(&name).is_none() {
            add(&mut with, &name, json!({}));
        }
    }
    let alone = if options.iter().any(|one| one.required) {
        json!({ "const": false })
    } else {
        json!({ "type": "boolean" })
    };
    json!({ "description": format!("refuses {}", kind.summary), "anyOf": [alone, with] })
}

/// A table of options and nothing else.
fn table(options: &[Opt]) -> Value {
    let properties = options.iter().map(|one| (one.name.to_owned(), described(one))).collect();
    let required: Vec<&str> = options.iter().filter(|one| one.required).map(|one| one.name).collect();
    object(properties, &required)
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn list_of(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn add(table: &mut Value, name: &str, value: Value) {
    table["properties"][name] = value;
}

fn described(option: &Opt) -> Value {
    let mut value = shape(option.shape);
    value["description"] = json!(option.about);
    if let Some(default) = option.default.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        value["default"] = default;
    }
    value
}

fn shape(shape: Shape) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let list = |items: Value| json!({ "type": "array", "minItems": 1, "items": items });
    let number_or = |pattern: &str| json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": pattern }] });
    match shape {
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Special => json!({}),
        Shape::Count(least) => json!({ "type": "integer", "minimum": least }),
        Shape::Size => number_or("^[0-9]+ *(B|KiB|MiB|GiB)$"),
        Shape::Span => number_or("^[0-9]+ *(ms|s|m|min|h|d)$"),
        Shape::Text => text,
        Shape::Time => {
            json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*([Zz]|[+-][0-9]{2}:?[0-9]{2})$" })
        }
        Shape::Texts => list(text),
        Shape::AnyTexts => json!({ "type": "array", "items": text }),
        Shape::Selectors => list(
            json!({ "type": "string", "pattern": "^((group|person|bot|agent|forge):.+|kind:(person|bot|agent|forge))$" }),
        ),
        Shape::Named => list(json!({ "type": "string", "pattern": "^(person|bot|forge):.+$" })),
        Shape::Refs => list(json!({ "type": "string", "pattern": "^!?(~DEFAULT$|~ALL$|refs/|\\*\\*|re:.)" })),
        Shape::Patterns => list(text),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Words(words) => list(json!({ "enum": words })),
        Shape::WordOrWords(words) => json!({ "anyOf": [{ "enum": words }, list(json!({ "enum": words }))] }),
    }
}
