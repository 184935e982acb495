//! How an event is written into the queue: names escaped, ids in hexadecimal. What was written once must be
//! readable by every later version.

use crate::domain::{ObjectId, RefName, text};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn read_name<E: Error>(escaped: &str) -> Result<RefName, E> {
    let bytes = text::unescape(escaped).ok_or_else(|| E::custom("this is not an escaped name"))?;
    RefName::parse(&bytes).map_err(E::custom)
}

fn read_id<E: Error>(hex: &str) -> Result<ObjectId, E> {
    ObjectId::parse(hex.as_bytes()).map_err(E::custom)
}

/// A ref's name.
pub(super) mod name {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(name: &RefName, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(name)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RefName, D::Error> {
        read_name(&String::deserialize(from)?)
    }
}

/// A ref's name, or none.
pub(super) mod optional_name {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        name: &Option<RefName>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_ref().map(ToString::to_string).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<RefName>, D::Error> {
        Option::<String>::deserialize(from)?.as_deref().map(read_name).transpose()
    }
}

/// An object's id, or none.
pub(super) mod optional_id {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        id: &Option<ObjectId>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        id.as_ref().map(ToString::to_string).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<ObjectId>, D::Error> {
        Option::<String>::deserialize(from)?.as_deref().map(read_id).transpose()
    }
}
