//! Reads k8s-pb: protobuf tags, embedded messages, and the annotations (`+listType=map`) in the comments.
use crate::{Definitions, doc_lines, files, prefix};
use std::collections::BTreeMap;
use std::path::Path;

pub struct Message {
    notes: Vec<String>,
    fields: Vec<MessageField>,
}

struct MessageField {
    /// Lower case, without underscores: comparable with any spelling of the same name.
    key: String,
    tag: u32,
    /// The message that this field holds, if it holds one.
    message: Option<String>,
    notes: Vec<String>,
}

pub fn read(root: &Path) -> Result<BTreeMap<String, Message>, Box<dyn std::error::Error>> {
    let mut messages = BTreeMap::new();
    for (module, text) in files(root)? {
        for item in &syn::parse_file(&text)?.items {
            let syn::Item::Struct(item) = item else { continue };
            let fields = item.fields.iter().filter_map(|field| message_field(&module, field)).collect();
            messages.insert(format!("{}.{}", prefix(&module), item.ident).to_lowercase(), Message { notes: notes(&item.attrs), fields });
        }
    }
    Ok(messages)
}

fn message_field(module: &[String], field: &syn::Field) -> Option<MessageField> {
    let ident = field.ident.as_ref()?.to_string();
    let attribute = field.attrs.iter().find(|a| a.path().is_ident("prost"))?;
    let syn::Meta::List(list) = &attribute.meta else { return None };
    let text = list.tokens.to_string();
    let tag = text.split("tag = \"").nth(1)?.split('"').next()?.parse().ok()?;
    let message = text.starts_with("message").then(|| target(module, &field.ty)).flatten();
    Some(MessageField { key: key(&ident), tag, message, notes: notes(&field.attrs) })
}

fn key(name: &str) -> String {
    name.trim_start_matches("r#").replace(['_', '-', '$'], "").to_lowercase()
}

fn notes(attributes: &[syn::Attribute]) -> Vec<String> {
    const KEPT: [&str; 7] = ["listType", "listMapKey", "patchStrategy", "patchMergeKey", "structType", "mapType", "default"];
    let mut kept: Vec<String> = Vec::new();
    for line in doc_lines(attributes) {
        let Some(note) = line.trim().strip_prefix('+') else { continue };
        let note = note.strip_prefix("k8s:").unwrap_or(note);
        if let Some((name, value)) = note.split_once('=')
            && KEPT.contains(&name)
            && !value.starts_with("ref(")
        {
            let note = format!("{name}={value}");
            if !kept.contains(&note) {
                kept.push(note);
            }
        }
    }
    kept
}

/// The message that `Option<super::super::X>` or `Vec<X>` names, seen from a module.
fn target(module: &[String], ty: &syn::Type) -> Option<String> {
    let syn::Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if let syn::PathArguments::AngleBracketed(list) = &last.arguments {
        return list.args.iter().find_map(|a| if let syn::GenericArgument::Type(t) = a { target(module, t) } else { None });
    }
    let mut base = module.to_vec();
    let mut rest = Vec::new();
    for segment in &path.path.segments {
        if segment.ident == "super" {
            base.pop();
        } else {
            rest.push(segment.ident.to_string());
        }
    }
    base.extend(rest);
    Some(prefix(&base).to_lowercase())
}

/// Adds to every definition what its message says.
pub fn add_tags(definitions: &mut Definitions, messages: &BTreeMap<String, Message>) {
    for (name, definition) in definitions {
        let Some(message) = messages.get(&name.to_lowercase()) else {
            println!("no message: {name}");
            continue;
        };
        definition.notes = message.notes.clone();
        let keys: Vec<String> = definition.fields.iter().map(|f| key(&f.name)).collect();
        for from in &message.fields {
            if let Some(at) = keys.iter().position(|k| *k == from.key) {
                let field = &mut definition.fields[at];
                field.tags = (0, from.tag);
                field.notes = from.notes.clone();
                continue;
            }
            let Some(inner) = from.message.as_ref().and_then(|m| messages.get(m)) else {
                println!("not in OpenAPI: {name}.{}", from.key);
                continue;
            };
            for inner in &inner.fields {
                if let Some(at) = keys.iter().position(|k| *k == inner.key) {
                    let field = &mut definition.fields[at];
                    field.tags = (from.tag, inner.tag);
                    field.notes = inner.notes.clone();
                } else {
                    println!("not in OpenAPI: {name}.{}.{}", from.key, inner.key);
                }
            }
        }
    }
}
