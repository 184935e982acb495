//! The headers of a delivery.

/// Header fields as received: names in lower case, in order, values as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// Why a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Two values for what has one: nobody can say which of them another reader takes.
    #[error("the header {0} is there more than once")]
    Twice(&'static str),
    /// Something else than visible ASCII.
    #[error("the header {0} is not plain text")]
    NotText(&'static str),
}

impl Headers {
    /// Collects fields; names are put into lower case.
    pub fn new<N: AsRef<str>, V: Into<Vec<u8>>>(fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let fields = fields.into_iter();
        Headers(fields.map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.into())).collect())
    }

    /// The one value of `name`, which is given in lower case.
    ///
    /// # Errors
    /// It is there twice, or has bytes outside visible ASCII and the space.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, HeaderError> {
        let mut values = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(HeaderError::Twice(name));
        }
        let plain = value.iter().all(|byte| (b' '..=b'~').contains(byte));
        match std::str::from_utf8(value).ok().filter(|_| plain) {
            Some(value) => Ok(Some(value)),
            None => Err(HeaderError::NotText(name)),
        }
    }

    /// Every field in order: its name in lower case, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Whether any field's name begins with `prefix`, given in lower case.
    pub fn any(&self, prefix: &str) -> bool {
        self.0.iter().any(|(name, _)| name.starts_with(prefix))
    }
}
