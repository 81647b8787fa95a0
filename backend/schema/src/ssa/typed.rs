//! Objects seen through their types: which fields they set, how two differ, how one is merged into another.
use super::fields::FieldSet;
use crate::MAX_DEPTH;
use crate::table::{Field, ListType, Type, table};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is known of a value's type.
#[derive(Clone, Copy, Default)]
pub struct Typed {
    pub ty: Option<Type>,
    field: Option<&'static Field>,
}

/// How a value is divided among its owners.
enum Shape {
    /// Owned as a whole.
    Leaf,
    /// Member by member.
    Members,
    /// Item by item, told apart by these keys.
    Items(Vec<&'static str>),
    /// Item by item, told apart by their value.
    Set,
}

impl Typed {
    pub fn of(ty: Option<Type>) -> Typed {
        Typed { ty, field: None }
    }

    fn member(self, name: &str) -> Typed {
        match self.ty {
            Some(Type::Object(id)) => {
                let field = table().field(id, name);
                Typed { ty: field.map(|f| f.ty), field }
            }
            Some(Type::Map(item)) => Typed::of(Some(*item)),
            _ => Typed::default(),
        }
    }

    fn item(self) -> Typed {
        match self.ty {
            Some(Type::List(item)) => Typed::of(Some(*item)),
            _ => Typed::default(),
        }
    }

    /// Is this member of a struct, not of a map with free keys?
    fn is_field(self) -> bool {
        self.field.is_some()
    }

    fn shape(self, value: &Value) -> Shape {
        let atomic = self.field.is_some_and(Field::is_atomic);
        match (value, self.ty) {
            (Value::Object(_), Some(Type::Object(id))) if !atomic && !table().definition(id).is_atomic() => Shape::Members,
            (Value::Object(_), Some(Type::Map(_))) if !atomic => Shape::Members,
            // Of what has no schema, objects are merged and lists replaced.
            (Value::Object(_), None) => Shape::Members,
            (Value::Array(_), Some(Type::List(_))) => match self.field.and_then(Field::list_type) {
                Some(ListType::Map(keys)) => Shape::Items(keys),
                Some(ListType::Set) => Shape::Set,
                _ => Shape::Leaf,
            },
            _ => Shape::Leaf,
        }
    }

    /// The path element of an item.
    fn element(self, item: &Value, keys: Option<&[&str]>) -> String {
        let Some(keys) = keys else { return format!("v:{item}") };
        let default = |key: &str| match self.item().ty {
            Some(Type::Object(id)) => table().field(id, key).and_then(Field::default),
            _ => None,
        };
        let pairs: BTreeMap<&str, Value> =
            keys.iter().filter_map(|key| Some((*key, item.get(*key).cloned().or_else(|| default(key))?))).collect();
        format!("k:{}", serde_json::json!(pairs))
    }

    fn elements<'v>(self, value: &'v Value, keys: Option<&[&str]>) -> Vec<(String, &'v Value)> {
        value.as_array().into_iter().flatten().map(|item| (self.element(item, keys), item)).collect()
    }
}

/// Adds the paths that a value sets to the node that its own path leads to.
pub fn collect(typed: Typed, value: &Value, node: &mut FieldSet, depth: usize) {
    if depth > MAX_DEPTH {
        node.own = true;
        return;
    }
    match typed.shape(value) {
        Shape::Leaf => node.own = true,
        Shape::Members => {
            for (name, member) in value.as_object().into_iter().flatten() {
                let inner = typed.member(name);
                let child = node.child(&format!("f:{name}"));
                collect(inner, member, child, depth + 1);
                let empty = member.as_object().is_some_and(Map::is_empty);
                child.own |= empty || !inner.is_field() && typed.ty.is_some();
            }
        }
        Shape::Items(keys) => collect_items(typed, value, Some(&keys), node, depth),
        Shape::Set => collect_items(typed, value, None, node, depth),
    }
}

fn collect_items(typed: Typed, value: &Value, keys: Option<&[&str]>, node: &mut FieldSet, depth: usize) {
    for (element, item) in typed.elements(value, keys) {
        let child = node.child(&element);
        collect(typed.item(), item, child, depth + 1);
        child.own = true;
    }
}

/// How one object differs from another.
#[derive(Debug, Default)]
pub struct Difference {
    /// Added or modified.
    pub changed: FieldSet,
    pub removed: FieldSet,
}

pub fn compare(typed: Typed, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    compare_at(typed, old, new, &mut difference.changed, &mut difference.removed, 0);
    difference
}

fn compare_at(typed: Typed, old: &Value, new: &Value, changed: &mut FieldSet, removed: &mut FieldSet, depth: usize) {
    if old == new {
        return;
    }
    match (typed.shape(old), typed.shape(new)) {
        (Shape::Members, Shape::Members) if depth <= MAX_DEPTH => {
            let (old, new) = (named(old), named(new));
            compare_children(&old, &new, |e| typed.member(e.trim_start_matches("f:")), changed, removed, typed.ty.is_some(), depth);
        }
        (Shape::Items(keys), Shape::Items(_)) if depth <= MAX_DEPTH => {
            let (old, new) = (typed.elements(old, Some(&keys)), typed.elements(new, Some(&keys)));
            compare_children(&old.into_iter().collect(), &new.into_iter().collect(), |_| typed.item(), changed, removed, true, depth);
        }
        (Shape::Set, Shape::Set) => {
            let (old, new) = (typed.elements(old, None), typed.elements(new, None));
            compare_children(&old.into_iter().collect(), &new.into_iter().collect(), |_| typed.item(), changed, removed, true, depth);
        }
        _ => {
            collect(typed, new, changed, depth);
            changed.own = true;
        }
    }
}

fn named(value: &Value) -> BTreeMap<String, &Value> {
    value.as_object().into_iter().flatten().map(|(name, member)| (format!("f:{name}"), member)).collect()
}

fn compare_children(
    old: &BTreeMap<String, &Value>,
    new: &BTreeMap<String, &Value>,
    inner: impl Fn(&str) -> Typed,
    changed: &mut FieldSet,
    removed: &mut FieldSet,
    typed: bool,
    depth: usize,
) {
    let whole = |element: &str, value: &Value, set: &mut FieldSet| {
        let child = set.child(element);
        collect(inner(element), value, child, depth + 1);
        let empty = value.as_object().is_some_and(Map::is_empty);
        child.own |= empty || typed && !inner(element).is_field();
    };
    for (element, value) in new {
        match old.get(element) {
            Some(before) => {
                let (c, r) = (changed.child(element), removed.child(element));
                compare_at(inner(element), before, value, c, r, depth + 1);
            }
            None => whole(element, value, changed),
        }
    }
    for (element, value) in old.iter().filter(|(e, _)| !new.contains_key(*e)) {
        whole(element, value, removed);
    }
}

/// Merges what somebody applies into what is there. Null removes.
pub fn merge(typed: Typed, live: &mut Value, applied: &Value, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("exceeded max depth of {MAX_DEPTH}"));
    }
    match typed.shape(applied) {
        Shape::Leaf => *live = applied.clone(),
        Shape::Members => {
            if !live.is_object() {
                *live = Value::Object(Map::new());
            }
            let (Value::Object(members), Value::Object(applied)) = (live, applied) else { return Ok(()) };
            for (name, value) in applied {
                if value.is_null() {
                    members.remove(name);
                } else {
                    merge(typed.member(name), members.entry(name.clone()).or_insert(Value::Null), value, depth + 1)?;
                }
            }
        }
        Shape::Items(keys) => merge_items(typed, live, applied, Some(&keys), depth)?,
        Shape::Set => merge_items(typed, live, applied, None, depth)?,
    }
    Ok(())
}

/// Applied items come in their order; live ones that are not applied keep their place before the next live one.
fn merge_items(typed: Typed, live: &mut Value, applied: &Value, keys: Option<&[&str]>, depth: usize) -> Result<(), String> {
    let applied = typed.elements(applied, keys);
    for (at, (element, _)) in applied.iter().enumerate() {
        if applied[..at].iter().any(|(earlier, _)| earlier == element) {
            return Err(format!("duplicate entries for key {}", element.get(2..).unwrap_or_default()));
        }
    }
    let old: Vec<(String, Value)> = typed.elements(live, keys).into_iter().map(|(e, v)| (e, v.clone())).collect();
    let is_applied = |element: &str| applied.iter().any(|(e, _)| e == element);
    let mut merged = Vec::with_capacity(old.len() + applied.len());
    let mut next = 0;
    for (element, value) in &applied {
        let place = old.iter().position(|(e, _)| e == element);
        if let Some(place) = place
            && place >= next
        {
            merged.extend(old[next..place].iter().filter(|(e, _)| !is_applied(e)).map(|(_, v)| v.clone()));
            next = place + 1;
        }
        let mut item = place.map_or(Value::Null, |at| old[at].1.clone());
        merge(typed.item(), &mut item, value, depth + 1)?;
        merged.push(item);
    }
    merged.extend(old[next..].iter().filter(|(e, _)| !is_applied(e)).map(|(_, v)| v.clone()));
    *live = Value::Array(merged);
    Ok(())
}

/// Removes the paths of `gone` except where `kept` has something at or below them. What becomes empty by it goes too.
pub fn remove(typed: Typed, value: &mut Value, gone: &FieldSet, kept: &FieldSet) {
    let nothing = FieldSet::default();
    let keys = match typed.shape(value) {
        Shape::Leaf => return,
        Shape::Members => {
            let Value::Object(members) = value else { return };
            members.retain(|name, member| {
                let element = format!("f:{name}");
                !removed(typed.member(name), member, gone.children.get(&element), kept.children.get(&element).unwrap_or(&nothing))
            });
            return;
        }
        Shape::Items(keys) => Some(keys),
        Shape::Set => None,
    };
    if let Value::Array(items) = value {
        items.retain_mut(|item| {
            let element = typed.element(item, keys.as_deref());
            !removed(typed.item(), item, gone.children.get(&element), kept.children.get(&element).unwrap_or(&nothing))
        });
    }
}

/// Is this member or item to go? What is below it is removed on the way.
fn removed(typed: Typed, value: &mut Value, gone: Option<&FieldSet>, kept: &FieldSet) -> bool {
    let Some(gone) = gone else { return false };
    if gone.own && kept.is_empty() {
        return true;
    }
    let was_empty = is_empty(value);
    remove(typed, value, gone, kept);
    !was_empty && is_empty(value) && kept.is_empty()
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}
