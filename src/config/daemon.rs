//! `[daemon]`: where it listens, who may ask, and its TLS.

use super::{Daemon, Network, Tls, Warning, sources, values};
use crate::domain::text;
use crate::keyring::document::{Item, Table, own_uid};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Reads it; gives the contact as well, which is written there and belongs to all.
pub(super) fn read<'r, 'd>(table: Table<'r, 'd>, base: &Path) -> (Option<Daemon>, Option<Item<'r, 'd>>) {
    let socket = table
        .require("socket", "write `socket = \"/run/countersign/hook.sock\"`")
        .and_then(|item| socket(&item, base));
    let listen = table.get("listen").and_then(|item| listen(&item));
    let state = table
        .require("state", "write `state = \"/var/lib/countersign\"`")
        .and_then(|item| values::path(&item, base));
    let clients = table.get("clients").map_or_else(|| vec![own_uid()], |item| clients(&item));
    let last_good = table.get("last-good").and_then(|item| values::span(&item)).unwrap_or(Daemon::LAST_GOOD);
    let contact = table.get("contact");
    let tls = table.table("tls", "[daemon.tls]").map(|table| tls(table, base));
    let trusted_proxies = table.get("trusted-proxies").map(|item| networks(&item)).unwrap_or_default();
    table.finish();
    let build = || {
        let (socket, state) = (socket?, state?);
        let tls = match tls {
            Some(tls) => Some(tls?),
            None => None,
        };
        let deadline = Daemon::DEADLINE;
        Some(Daemon { socket, listen, tls, trusted_proxies, state, clients, deadline, last_good })
    };
    (build(), contact)
}

fn socket(item: &Item<'_, '_>, base: &Path) -> Option<PathBuf> {
    let path = values::path(item, base)?;
    let length = path.as_os_str().len();
    if length > Daemon::MAX_SOCKET {
        item.error_with(
            format!(
                "the socket's path has {length} bytes, and a Unix socket's has at most {}",
                Daemon::MAX_SOCKET
            ),
            "use a shorter one, such as \"/run/countersign/hook.sock\"",
        );
        return None;
    }
    Some(path)
}

fn listen(item: &Item<'_, '_>) -> Option<SocketAddr> {
    let written = item.string()?;
    if let Ok(address) = written.parse::<SocketAddr>() {
        return Some(address);
    }
    let shown = text::escape_short(written.as_bytes(), 60);
    let port = written.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(8417);
    item.error_with(
        format!("`{shown}` is not an address with a port; names are not looked up"),
        format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\""),
    );
    None
}

fn tls(table: Table<'_, '_>, base: &Path) -> Option<Tls> {
    let certificate = table.require("certificate", "write `certificate = \"tls/chain.pem\"`");
    let certificate = certificate.and_then(|item| values::path_outside(&item, base));
    let key = table.require("key", "write `key = \"tls/key.pem\"`");
    let key = key.and_then(|item| values::path_outside(&item, base));
    table.finish();
    Some(Tls { certificate: certificate?, key: key? })
}

fn networks(item: &Item<'_, '_>) -> Vec<Network> {
    let mut made: Vec<Network> = Vec::new();
    for (written, item) in item.strings() {
        match Network::parse(written) {
            Some(network) if network.is_everything() => item.error_with(
                "everybody would be a trusted proxy, and could say to be anybody",
                "write the address of your proxy, such as \"127.0.0.1\"",
            ),
            Some(network) => made.push(network),
            None => {
                let shown = text::escape_short(written.as_bytes(), 60);
                item.error_with(
                    format!("`{shown}` is neither an address nor a network"),
                    "write \"127.0.0.1\", \"10.1.0.0/16\" or \"fd00::/8\"",
                );
            }
        }
    }
    made
}

/// Deliveries that anybody on the way can read, with the tokens in them.
pub(super) fn in_the_clear(daemon: &Daemon, sources: &[sources::Source]) -> Option<Warning> {
    let address = daemon.listen?;
    let source = sources.first()?;
    let open = daemon.tls.is_none() && !address.ip().is_loopback() && daemon.trusted_proxies.is_empty();
    open.then(|| {
        let message = format!(
            "`listen` is {address} without [daemon.tls]: deliveries, and GitLab's tokens with them, come in the clear"
        );
        Warning::at(source.place.clone(), message)
    })
}

fn clients(item: &Item<'_, '_>) -> Vec<u32> {
    let before = item.reader.count();
    let mut made: Vec<u32> = Vec::new();
    for one in item.array("a list of user ids").unwrap_or_default() {
        // The last one is "no such user" in every system call.
        match one.number().map(u32::try_from) {
            Some(Ok(uid)) if uid != u32::MAX => made.push(uid),
            Some(_) => one.error("this is no user id"),
            None => {}
        }
    }
    if made.is_empty() && item.reader.count() == before {
        item.error_with(
            "without clients no hook may ask",
            "leave `clients` out for the daemon's own account",
        );
    }
    made.sort_unstable();
    made.dedup();
    made
}
