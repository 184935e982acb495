//! Calls of a forge's API as plain data; carrying them is somebody else's task.

use super::Secret;

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Changes.
    Patch,
}

/// One request to the forge's API.
#[derive(Clone, Debug)]
pub struct Call {
    /// How.
    pub method: Method,
    /// Path and query below the configured base address, escaped for a URL; begins with `/`.
    pub path: String,
    /// Header fields that everybody may see.
    pub headers: Vec<(&'static str, String)>,
    /// The field that authenticates, its value shown to nobody.
    pub authorization: Option<(&'static str, Secret)>,
    /// JSON, or nothing.
    pub body: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code. A redirect is not followed, and comes back as what it is (N31).
    pub status: u16,
    /// `Retry-After`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` and the like, names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most 1 MiB of the body.
    pub body: Vec<u8>,
}
