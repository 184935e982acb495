//! A web server of a few lines that asks for a login and starts `git http-backend`, as CGI has it.

use super::sshd::free_port;
use data_encoding::BASE64;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Serves the repositories below a directory on the loopback interface until the test's process ends.
pub struct HttpServer {
    port: u16,
}

struct Site {
    root: PathBuf,
    /// `name:password`; without any, everybody is let in and nobody is named.
    users: Vec<String>,
}

impl HttpServer {
    pub fn start(root: &Path, users: &[(&str, &str)]) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let users = users.iter().map(|(name, password)| format!("{name}:{password}")).collect();
        let site = Arc::new(Site { root: root.to_owned(), users });
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let site = Arc::clone(&site);
                std::thread::spawn(move || site.serve(stream));
            }
        });
        HttpServer { port }
    }

    /// The address of a repository, with `name:password`.
    pub fn url(&self, login: &str, repository: &str) -> String {
        format!("http://{login}@127.0.0.1:{}/{repository}", self.port)
    }
}

impl Site {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [method, target, _] = words[..] else { return };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut stream = stream;
        let user = match self.login(&headers) {
            Ok(user) => user,
            Err(()) => {
                let refused = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
                               Content-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(refused.as_bytes()).unwrap();
                return;
            }
        };
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
        command.env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1");
        command.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
        command.env("REMOTE_ADDR", "127.0.0.1").env("GATEWAY_INTERFACE", "CGI/1.1");
        command.env("CONTENT_LENGTH", length.to_string());
        if let Some(user) = user {
            command.env("REMOTE_USER", user).env("AUTH_TYPE", "Basic");
        }
        for (name, value) in &headers {
            let name = name.to_ascii_uppercase().replace('-', "_");
            match name.as_str() {
                "CONTENT_TYPE" => command.env(name, value),
                "CONTENT_LENGTH" | "AUTHORIZATION" => &mut command,
                _ => command.env(format!("HTTP_{name}"), value),
            };
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        let output = child.wait_with_output().unwrap().stdout;
        let text = String::from_utf8_lossy(&output);
        let status = text.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
        // What it prints is headers, an empty line, the body: as HTTP has it, but for the status.
        let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
        answer.extend_from_slice(&output);
        stream.write_all(&answer).unwrap();
    }

    fn login(&self, headers: &BTreeMap<String, String>) -> Result<Option<String>, ()> {
        if self.users.is_empty() {
            return Ok(None);
        }
        let given = headers.get("authorization").and_then(|value| value.strip_prefix("Basic "));
        let given = given.and_then(|value| BASE64.decode(value.as_bytes()).ok());
        let given = given.and_then(|login| String::from_utf8(login).ok()).ok_or(())?;
        let known = self.users.contains(&given);
        known.then(|| Some(given.split(':').next().unwrap().to_owned())).ok_or(())
    }
}
