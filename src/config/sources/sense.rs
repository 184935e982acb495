//! Whether what a source says goes together.

use super::{ReportIdentity, Source};
use crate::config::Warning;
use crate::config::secrets::{SecretPlace, read_certificates};
use crate::forge::{AppKey, ForgeKind};
use std::path::Path;

/// What the addresses of a source need and do not have.
pub(super) fn reaches(source: &Source) -> Vec<(String, &'static str)> {
    let mut wrong = Vec::new();
    let by = |scheme: &str| source.repositories.iter().find(|one| one.url.starts_with(scheme));
    if let Some(one) = by("ssh://") {
        if source.fetch.known_hosts.is_none() {
            wrong.push((
                format!("`{}` is fetched over ssh, and no host keys are known", one.url),
                "write `known-hosts = \"…\"` in [source.fetch]: a file as ssh-keyscan makes it, and checked",
            ));
        }
        if matches!(source.fetch.credential, Some(SecretPlace::Env(_))) {
            wrong.push((
                format!("`{}` is fetched over ssh, whose key is a file", one.url),
                "write `credential = { file = \"…\" }` in [source.fetch]",
            ));
        }
    }
    if by("ssh://").is_some() && by("http").is_some() && source.fetch.credential.is_some() {
        wrong.push((
            "one credential cannot be both a key for ssh and a password".to_owned(),
            "make two sources of it",
        ));
    }
    wrong
}

/// What is written and has no effect: somebody thinks that it has.
pub(super) fn without_effect(source: &Source) -> Vec<String> {
    let mut told = Vec::new();
    let mut say = |what: &str, why: &str| {
        told.push(format!("{what} of source `{}` has no effect: {why}", source.name));
    };
    let by = |scheme: &str| source.repositories.iter().any(|one| one.url.starts_with(scheme));
    let fetch = &source.fetch;
    if source.restore_created && !source.restore {
        say("`restore-created`", "`restore` is off");
    }
    if !source.administrators.is_empty() && !source.restore {
        say("`administrators`", "`restore` is off");
    }
    if fetch.credential.is_some() && !by("http") && !by("ssh://") {
        say("`credential` in [source.fetch]", "files of this machine are read without one");
    }
    if fetch.user.is_some() && (fetch.credential.is_none() || !by("http")) {
        say("`user` in [source.fetch]", "it goes with a password for https, and there is none");
    }
    if fetch.known_hosts.is_some() && !by("ssh://") {
        say("`known-hosts` in [source.fetch]", "nothing is fetched over ssh");
    }
    if fetch.authority.is_some() && !by("https://") {
        say("`authority` in [source.fetch]", "nothing is fetched over https");
    }
    if let Some(report) = &source.report {
        if source.forge == ForgeKind::Gogs {
            say("[source.report]", "Gogs has no statuses; its token only serves `webhook add`");
        }
        let is_used =
            source.forge == ForgeKind::BitbucketCloud && matches!(report.identity, ReportIdentity::Token(_));
        if report.user.is_some() && !is_used {
            say("`user` in [source.report]", "only tokens of Bitbucket Cloud go with an account");
        }
        if report.authority.is_some() && !report.api.starts_with("https://") {
            say("`authority` in [source.report]", "the API is not asked over https");
        }
    }
    told
}

impl Source {
    /// What else it needs and cannot be used now: the daemon starts all the same, and waits for it.
    pub fn unusable(&self) -> Vec<Warning> {
        let mut told = Vec::new();
        let mut look = |what: &str, found: Result<(), String>| {
            if let Err(why) = found {
                let message = format!("{what} of source `{}` cannot be used: {why}", self.name);
                told.push(Warning::at(self.place.clone(), message));
            }
        };
        let read = |place: &SecretPlace| place.read().map_err(|error| error.to_string());
        let fetch = &self.fetch;
        if let Some(place) = &fetch.credential {
            look("`credential` in [source.fetch]", read(place).map(drop));
        }
        if let Some(file) = &fetch.known_hosts {
            look("`known-hosts` in [source.fetch]", is_there(file));
        }
        if let Some(file) = &fetch.authority {
            look("`authority` in [source.fetch]", read_certificates(file).map(drop));
        }
        let Some(report) = &self.report else { return told };
        match &report.identity {
            ReportIdentity::Token(place) => look("`token` in [source.report]", read(place).map(drop)),
            ReportIdentity::App { key, .. } => {
                let key = read(key).and_then(|pem| AppKey::from_pem(&pem).map_err(|error| error.to_string()));
                look("`app` in [source.report]", key.map(drop));
            }
        }
        if let Some(file) = &report.authority {
            look("`authority` in [source.report]", read_certificates(file).map(drop));
        }
        told
    }
}

fn is_there(file: &Path) -> Result<(), String> {
    let found = std::fs::metadata(file).map_err(|error| error.to_string())?;
    match found.is_file() && found.len() > 0 {
        true => Ok(()),
        false => Err("it is no file with something in it".to_owned()),
    }
}
