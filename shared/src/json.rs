//! JSON of the API as a value, without the lists of who set which field: half of many objects, and shown by nobody.
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Reads an object, a list or an event; every `metadata.managedFields` in it is left out.
///
/// # Errors
/// The text is not JSON, or goes on after its end.
pub fn without_managed_fields(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Part { in_metadata: false }.deserialize(&mut reader)?;
    reader.end().map(|()| value)
}

/// One value on its way in; whether it is the content of `metadata`.
struct Part {
    in_metadata: bool,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_string()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Part { in_metadata: false })? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if self.in_metadata && key == "managedFields" {
                members.next_value::<IgnoredAny>()?;
            } else {
                let value = members.next_value_seed(Part { in_metadata: key == "metadata" })?;
                all.insert(key, value);
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_the_owners_of_fields_are_left_out() {
        let list = json!({"metadata": {"resourceVersion": "7"}, "managedFields": 1, "items": [{
            "metadata": {"name": "a", "managedFields": [{"fieldsV1": {"f:x": {}}}], "labels": {"managedFields": "stays"}},
            "spec": {"managedFields": [1.5, -2, true, null, "é\n"]}}]});
        let mut wanted = list.clone();
        wanted["items"][0]["metadata"].as_object_mut().unwrap().remove("managedFields");
        assert_eq!(without_managed_fields(list.to_string().as_bytes()).unwrap(), wanted);
        assert!(without_managed_fields(b"{} x").is_err());
        assert!(without_managed_fields(b"{\"a\":").is_err());
    }

    proptest! {
        #[test]
        fn texts_and_numbers_come_through(text in ".*", number in any::<i64>(), real in -1e9..1e9) {
            let json = json!({"a": [text, number, real], "b": {"c": null}}).to_string();
            prop_assert_eq!(without_managed_fields(json.as_bytes()).unwrap(), serde_json::from_str::<Value>(&json).unwrap());
        }
    }
}
