//! Members that one object of a JSON text names twice.
use super::MAX_REPORTED;
use std::collections::HashSet;

/// Members that a JSON text names twice: `duplicate field "spec.x"`. Text that is no JSON has none; its parser complains.
pub fn duplicates(json: &[u8]) -> Vec<String> {
    let mut scan = Duplicates { found: Vec::new(), path: String::new() };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let _ = serde::de::DeserializeSeed::deserialize(&mut scan, &mut reader);
    scan.found
}

/// Walks JSON without keeping it. serde_json itself bounds the depth.
struct Duplicates {
    found: Vec<String>,
    path: String,
}

impl<'de> serde::de::DeserializeSeed<'de> for &mut Duplicates {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for &mut Duplicates {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let back = self.path.len();
        let mut index = 0;
        self.path.push_str("[0]");
        while items.next_element_seed(&mut *self)?.is_some() {
            index += 1;
            self.path.truncate(back);
            self.path.push_str(&format!("[{index}]"));
        }
        self.path.truncate(back);
        Ok(())
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        let back = self.path.len();
        while let Some(name) = members.next_key::<String>()? {
            if back > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if !seen.insert(name) && self.found.len() < MAX_REPORTED {
                self.found.push(format!("duplicate field {:?}", self.path));
            }
            members.next_value_seed(&mut *self)?;
            self.path.truncate(back);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_members_are_found_at_any_depth() {
        let text = br#"{"a":1,"spec":{"x":1,"y":[{"z":1},{"z":1,"z":2}],"x":{"q":1}},"a":2}"#;
        assert_eq!(duplicates(text), [r#"duplicate field "spec.y[1].z""#, r#"duplicate field "spec.x""#, r#"duplicate field "a""#]);
        assert!(duplicates(b"{not json").is_empty());
    }
}
