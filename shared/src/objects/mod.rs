//! Thin views of the kinds that the programs reason about. Read through them; store and send the JSON itself.
//!
//! Every member has a default and unknown members are ignored, so that a view never refuses an object.
pub mod endpoints;
pub mod event;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod quota;
pub mod rbac;
pub mod replication_controller;
pub mod service;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A port by number or by the name that a container gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntOrString {
    Int(i32),
    String(String),
}

impl Default for IntOrString {
    fn default() -> IntOrString {
        IntOrString::Int(0)
    }
}

impl std::fmt::Display for IntOrString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IntOrString::Int(n) => write!(f, "{n}"),
            IntOrString::String(s) => f.write_str(s),
        }
    }
}

impl Serialize for IntOrString {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            IntOrString::Int(n) => s.serialize_i32(*n),
            IntOrString::String(t) => s.serialize_str(t),
        }
    }
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<IntOrString, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Int(i32),
            String(String),
        }
        Ok(match Raw::deserialize(d)? {
            Raw::Int(n) => IntOrString::Int(n),
            Raw::String(s) => IntOrString::String(s),
        })
    }
}
