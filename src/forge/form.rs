//! A body that is a form with the JSON in one field.

/// The value of `payload` in a form that is nothing else; `None` if it is anything else.
pub(super) fn payload(body: &[u8]) -> Option<Vec<u8>> {
    let value = body.strip_prefix(b"payload=")?;
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            // A second field, of which another reader might think that it is the right one.
            b'&' | b';' | b'=' => return None,
            b'+' => b' ',
            b'%' => (digit(*rest.next()?)? << 4) | digit(*rest.next()?)?,
            other => *other,
        });
    }
    Some(out)
}

/// The form that [`payload`] reads.
pub(super) fn encode(payload: &[u8]) -> Vec<u8> {
    let mut out = b"payload=".to_vec();
    for byte in payload {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            other => out.extend(format!("%{other:02X}").bytes()),
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_one_field() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(payload(&encode(&all)), Some(all));
        assert_eq!(payload(b"payload=%7b%7D+"), Some(b"{} ".to_vec()));
        for wrong in [
            "",
            "payload",
            "Payload={}",
            "payload={}&payload={}",
            "payload={}&a=b",
            "payload=%7",
            "payload=%",
            "payload=%zz",
            "payload=%+7",
            "a=b&payload={}",
            "payload==",
            "payload={};a",
        ] {
            assert_eq!(payload(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
