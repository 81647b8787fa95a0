//! Strategic merge patch: a merge patch that knows by which field the items of each list are told apart.
use crate::MAX_DEPTH;
use crate::table::{Field, Type, table};
use serde_json::{Map, Value};
use shared::kinds::Kind;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to an object of a served kind. The error is meant for the client; `current` is then
/// half patched and must be thrown away.
pub fn strategic(kind: &Kind, current: &mut Value, patch: &Value) -> Result<(), String> {
    apply(table().by_kind(kind).map(Type::Object), current, patch)
}

/// The same for objects that are no served kind (`Scale`).
pub fn strategic_named(api_version: &str, kind: &str, current: &mut Value, patch: &Value) -> Result<(), String> {
    apply(table().by_api_version(api_version, kind).map(Type::Object), current, patch)
}

fn apply(ty: Option<Type>, current: &mut Value, patch: &Value) -> Result<(), String> {
    let (Value::Object(current), Value::Object(patch)) = (current, patch) else {
        return Err("invalid JSON document: a strategic merge patch is an object".into());
    };
    merge_object(current, patch, ty, 0)
}

/// What is known of a member: its type and, if it is a field, how it is patched.
#[derive(Clone, Copy)]
struct Member {
    ty: Option<Type>,
    field: Option<&'static Field>,
}

impl Member {
    fn of(parent: Option<Type>, name: &str) -> Member {
        match parent {
            Some(Type::Object(id)) => {
                let field = table().field(id, name);
                Member { ty: field.map(|f| f.ty), field }
            }
            Some(Type::Map(item)) => Member { ty: Some(*item), field: None },
            _ => Member { ty: None, field: None },
        }
    }

    fn has_strategy(&self, wanted: &str) -> bool {
        self.field.is_some_and(|f| f.patch_strategy().split(',').any(|s| s == wanted))
    }

    fn item(&self) -> Option<Type> {
        match self.ty {
            Some(Type::List(item)) => Some(*item),
            _ => None,
        }
    }
}

fn merge_object(current: &mut Map<String, Value>, patch: &Map<String, Value>, ty: Option<Type>, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("exceeded max depth of {MAX_DEPTH}"));
    }
    match patch.get(DIRECTIVE).map(|d| d.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("delete") => {
            current.clear();
            return Ok(());
        }
        // What follows builds the object from nothing.
        Some("replace") => current.clear(),
        Some(other) => return Err(format!("unknown patch type found: {other}")),
    }
    retain_keys(current, patch)?;
    for (name, value) in patch {
        if name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(ORDER) {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(current, list, value)?;
            continue;
        }
        let order = patch.get(&format!("{ORDER}{name}"));
        merge_member(current, name, value, order, Member::of(ty, name), depth)?;
    }
    // Orders of lists that the patch does not change otherwise, and of lists it only deletes from.
    for (name, order) in patch {
        let Some(list) = name.strip_prefix(ORDER) else { continue };
        if patch.contains_key(list) {
            continue;
        }
        let member = Member::of(ty, list);
        if let Some(Value::Array(items)) = current.get_mut(list) {
            let before = items.clone();
            reorder(items, &before, order, member.field.and_then(Field::merge_key))?;
        }
    }
    Ok(())
}

/// `$retainKeys` names the only members that may stay: how one alternative of a union replaces another.
fn retain_keys(current: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), String> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let bad = || "invalid patch format of retainKeys".to_string();
    let keys: Vec<&str> = keys.as_array().ok_or_else(bad)?.iter().map(|k| k.as_str().ok_or_else(bad)).collect::<Result<_, _>>()?;
    if patch.iter().any(|(name, value)| !name.starts_with('$') && !value.is_null() && !keys.contains(&name.as_str())) {
        return Err(bad());
    }
    current.retain(|name, _| keys.contains(&name.as_str()));
    Ok(())
}

fn delete_from(current: &mut Map<String, Value>, list: &str, gone: &Value) -> Result<(), String> {
    let gone = gone.as_array().ok_or("invalid patch format of primitive list")?;
    if let Some(Value::Array(items)) = current.get_mut(list) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

fn merge_member(
    current: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    order: Option<&Value>,
    member: Member,
    depth: usize,
) -> Result<(), String> {
    match value {
        Value::Null => {
            current.remove(name);
        }
        Value::Object(patch) => {
            let existing = current.entry(name).or_insert(Value::Null);
            if !existing.is_object() || member.has_strategy("replace") {
                *existing = Value::Object(Map::new());
            }
            if let Value::Object(existing) = existing {
                merge_object(existing, patch, member.ty, depth + 1)?;
            }
        }
        Value::Array(patch) if member.has_strategy("merge") => {
            let existing = current.entry(name).or_insert(Value::Null);
            if !existing.is_array() {
                *existing = Value::Array(Vec::new());
            }
            if let (Value::Array(items), Some(field)) = (existing, member.field) {
                merge_list(items, patch, order, field, member.item(), depth + 1)?;
            }
        }
        Value::Array(patch) => {
            current.insert(name.into(), Value::Array(fresh_items(patch, member.item(), depth + 1)?));
        }
        scalar => {
            current.insert(name.into(), scalar.clone());
        }
    }
    Ok(())
}

/// The items of a list that replaces another: without directives and nulls.
fn fresh_items(patch: &[Value], ty: Option<Type>, depth: usize) -> Result<Vec<Value>, String> {
    let mut items = Vec::with_capacity(patch.len());
    for item in patch {
        match item {
            Value::Object(members) if members.get(DIRECTIVE).is_some_and(|d| d == "delete" || d == "replace") => {}
            Value::Object(members) => items.push(fresh(members, ty, depth)?),
            other => items.push(other.clone()),
        }
    }
    Ok(items)
}

fn fresh(patch: &Map<String, Value>, ty: Option<Type>, depth: usize) -> Result<Value, String> {
    let mut new = Map::new();
    merge_object(&mut new, patch, ty, depth)?;
    Ok(Value::Object(new))
}

/// Merges into a list whose items are told apart by a key, or (without a key) by their value.
fn merge_list(
    items: &mut Vec<Value>,
    patch: &[Value],
    order: Option<&Value>,
    field: &Field,
    ty: Option<Type>,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("exceeded max depth of {MAX_DEPTH}"));
    }
    let key = field.merge_key();
    let mut before = items.clone();
    let mut remaining = before.clone();
    let (deletions, rest): (Vec<&Value>, Vec<&Value>) = patch.iter().partition(|item| key.is_some() && item[DIRECTIVE] == "delete");
    match key {
        None => {
            for item in patch {
                if !items.contains(item) {
                    items.push(item.clone());
                }
            }
        }
        Some(_) if patch.iter().any(|item| item[DIRECTIVE] == "replace") => *items = fresh_items(patch, ty, depth)?,
        Some(key) => {
            deletions.iter().try_for_each(|item| merge_item(items, item, key, field, ty, depth))?;
            remaining = items.clone();
            rest.iter().try_for_each(|item| merge_item(items, item, key, field, ty, depth))?;
            // As in Kubernetes, what is added takes the places that deletions freed.
            before = items.iter().take(before.len()).cloned().collect();
        }
    }
    // Items come in the order in which the patch names them, then in the one that it asks for.
    let named: Vec<Value> = rest.into_iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned().collect();
    reorder(items, &remaining, &Value::Array(named), key)?;
    match order {
        Some(order) => reorder(items, &before, order, key),
        None => Ok(()),
    }
}

fn merge_item(items: &mut Vec<Value>, patch: &Value, key: &str, field: &Field, ty: Option<Type>, depth: usize) -> Result<(), String> {
    let Value::Object(members) = patch else {
        return Err(format!("cannot merge an item that is no object into the list {}", field.name));
    };
    let Some(wanted) = members.get(key) else {
        return Err(format!("map: {patch} does not contain declared merge key: {key}"));
    };
    match members.get(DIRECTIVE).map(|d| d.as_str().unwrap_or_default()) {
        Some("delete") => {
            items.retain(|item| item.get(key) != Some(wanted));
            return Ok(());
        }
        Some("merge") => return Err("merging lists cannot yet be specified in the patch".into()),
        Some(other) => return Err(format!("unknown patch type found: {other}")),
        None => {}
    }
    let same: Vec<usize> = (0..items.len()).filter(|at| items[*at].get(key) == Some(wanted)).collect();
    // Several items may share the merge key (port 53 for TCP and for UDP): then all keys of the list decide.
    let exact =
        same.iter().find(|at| field.list_keys().all(|k| k == key || members.get(k).is_none_or(|v| same_key(ty, k, &items[**at], v))));
    match exact.or(same.first()).map(|at| &mut items[*at]) {
        Some(Value::Object(existing)) => merge_object(existing, members, ty, depth),
        Some(_) => Err(format!("the list {} holds an item that is no object", field.name)),
        None => {
            items.push(fresh(members, ty, depth)?);
            Ok(())
        }
    }
}

/// Has the item this value, or none where the value is the default?
fn same_key(ty: Option<Type>, key: &str, item: &Value, value: &Value) -> bool {
    match (item.get(key), ty) {
        (Some(found), _) => found == value,
        (None, Some(Type::Object(id))) => table().field(id, key).and_then(Field::default).as_ref() == Some(value),
        (None, _) => false,
    }
}

/// Sorts a merged list: the items that the client named come in its order, the others keep their place between them.
fn reorder(items: &mut Vec<Value>, before: &[Value], order: &Value, key: Option<&str>) -> Result<(), String> {
    let order = order.as_array().ok_or("invalid patch format of setElementOrder list")?;
    let identity = |item: &Value| key.map_or_else(|| item.clone(), |k| item.get(k).cloned().unwrap_or(Value::Null));
    let order: Vec<Value> = order.iter().map(identity).collect();
    let before: Vec<Value> = before.iter().map(identity).collect();
    let place = |list: &[Value], item: &Value| list.iter().position(|i| *i == identity(item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| place(&order, item).is_some());
    named.sort_by_key(|item| place(&order, item));
    others.sort_by_key(|item| place(&before, item).unwrap_or(usize::MAX));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(named)) => matches!((place(&before, other), place(&before, named)), (Some(o), Some(n)) if o < n),
        };
        items.extend(if other_first { others.next() } else { named.next() });
    }
}

#[cfg(test)]
mod tests;
