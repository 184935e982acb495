//! Addresses of repositories elsewhere: plain ones, and nothing that an option, a shell or a helper could be hidden in
//! (N31).

use crate::domain::text;
use std::fmt;

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP in the clear.
    Http,
    /// OpenSSH.
    Ssh,
    /// The file system of this machine.
    File,
}

impl Scheme {
    /// As in the URL, and as git's `protocol.<name>.allow` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::Ssh => "ssh",
            Scheme::File => "file",
        }
    }
}

/// Where a repository is: a URL that was checked and can be given to git as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    pub(super) scheme: Scheme,
    /// `host` or `host:port`; empty for files.
    pub(super) authority: String,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme than the four, or none.
    #[error("it does not begin with https://, http://, ssh:// or file:///")]
    Scheme,
    /// The part before the path.
    #[error("its host is not a plain host name or address, with or without a port")]
    Host,
    /// A name or password in an HTTP URL.
    #[error("it names a user; credentials are configured beside the URL")]
    User,
    /// The user in an SSH URL.
    #[error("its user is not a plain name")]
    SshUser,
    /// What follows the host.
    #[error("its path is empty, or has `?`, `#`, a space, a control character or `..` in it")]
    Path,
}

impl Address {
    /// Checks a URL of the configuration.
    ///
    /// # Errors
    /// See [`AddressError`]. `host:path` as ssh has it is not a URL.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let schemes = [Scheme::Https, Scheme::Http, Scheme::Ssh, Scheme::File];
        let found = schemes.into_iter().find_map(|scheme| {
            let rest = url.strip_prefix(scheme.name())?.strip_prefix("://")?;
            Some((scheme, rest))
        });
        let (scheme, rest) = found.ok_or(AddressError::Scheme)?;
        let slash = rest.find('/').ok_or(AddressError::Path)?;
        let (authority, path) = rest.split_at(slash);
        let plain = |c: char| c.is_ascii_graphic() || (!c.is_ascii() && !c.is_control());
        let odd = |path: &str| {
            path.len() < 2
                || path.contains(['?', '#', '\\'])
                || !path.chars().all(plain)
                || path.split('/').any(|part| part == "..")
        };
        if odd(path) {
            return Err(AddressError::Path);
        }
        let host = match (scheme, authority.rsplit_once('@')) {
            (Scheme::File, _) if authority.is_empty() => "",
            (Scheme::File, _) => return Err(AddressError::Scheme),
            (_, None) => authority,
            (Scheme::Ssh, Some((user, host))) if is_plain(user, "._-") => host,
            (Scheme::Ssh, _) => return Err(AddressError::SshUser),
            (_, Some(_)) => return Err(AddressError::User),
        };
        if scheme != Scheme::File && !is_host(host) {
            return Err(AddressError::Host);
        }
        Ok(Address { url: url.to_owned(), scheme, authority: host.to_owned() })
    }

    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The whole URL, without credentials.
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::escape(self.url.as_bytes()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::escape(self.url.as_bytes()))
    }
}

/// ASCII letters, digits and a few more, not beginning with a dash: no option, no shell's business.
pub(super) fn is_plain(word: &str, more: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('-')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

fn is_host(authority: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0) && is_plain(port, "");
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        }),
        None => match authority.split_once(':') {
            Some((host, port)) => is_plain(host, ".-_") && is_port(port),
            None => is_plain(authority, ".-_"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n31_only_plain_urls_are_addresses() {
        for fine in [
            "https://forge.example/acme/infra.git",
            "https://forge.example:8443/acme/infra",
            "http://127.0.0.1:80/x",
            "http://[::1]:80/x",
            "ssh://git@forge.example:2222/acme/infra.git",
            "ssh://forge.example/~/x",
            "file:///srv/git/x.git",
        ] {
            assert_eq!(Address::parse(fine).map(|a| a.as_str().to_owned()), Ok(fine.to_owned()));
        }
        use AddressError::*;
        for (wrong, why) in [
            ("git://forge.example/x", Scheme),
            ("ext::sh -c touch% /tmp/x", Scheme),
            ("--upload-pack=touch", Scheme),
            ("git@forge.example:acme/infra.git", Scheme),
            ("file://host/x", Scheme),
            ("HTTPS://forge.example/x", Scheme),
            ("https://user@forge.example/x", User),
            ("https://user:token@forge.example/x", User),
            ("https://forge.example", Path),
            ("https://forge.example/", Path),
            ("https://forge.example/x?y", Path),
            ("https://forge.example/x#y", Path),
            ("https://forge.example/a/../b", Path),
            ("https://forge.example/a\nb", Path),
            ("https://forge.example/a b", Path),
            ("https://forge.example\\@evil.example/x", User),
            ("https://forge.example\\evil.example/x", Host),
            ("https:///x", Host),
            ("https://forge.example:0/x", Host),
            ("https://forge.example:99999/x", Host),
            ("https://forge.example:/x", Host),
            ("https://forge.example:+1/x", Host),
            ("https://[forge]/x", Host),
            ("ssh://-oProxyCommand=touch/x", Host),
            ("ssh://-oProxyCommand=x@forge.example/x", SshUser),
            ("ssh://git:x@forge.example/x", SshUser),
            ("ssh://$(touch)@forge.example/x", SshUser),
            ("ssh://a@b@forge.example/x", SshUser),
        ] {
            assert_eq!(Address::parse(wrong).err(), Some(why), "{wrong}");
        }
    }
}
