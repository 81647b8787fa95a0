//! Reads k8s-openapi: JSON names, types, required fields, descriptions, and which types are objects.
use crate::{Definition, Definitions, Field, doc_lines, files, prefix};
use std::collections::BTreeMap;
use std::path::Path;
use syn::visit::Visit;

pub fn read(root: &Path) -> Result<Definitions, Box<dyn std::error::Error>> {
    let mut definitions = Definitions::new();
    for (module, text) in files(root)? {
        let file = syn::parse_file(&text)?;
        for item in &file.items {
            let syn::Item::Struct(item) = item else { continue };
            let name = item.ident.to_string();
            if !matches!(item.fields, syn::Fields::Named(_)) || name == "List" || name.starts_with("Bookmark") || scalar(&name).is_some() {
                continue;
            }
            let definition = definition(item, &file, &text);
            if let Some(list) = list_of(&module, &name, &definition, &file) {
                definitions.insert(list.0, list.1);
            }
            definitions.insert(format!("{}.{name}", prefix(&module)), definition);
        }
    }
    Ok(definitions)
}

fn definition(item: &syn::ItemStruct, file: &syn::File, text: &str) -> Definition {
    let mut names = JsonNames::default();
    names.visit_file(file);
    let required = required(text);
    let mut fields = Vec::new();
    let object = object(file);
    if object.is_some() {
        fields.extend(["apiVersion", "kind"].map(|name| Field {
            name: name.into(),
            ty: "s".into(),
            docs: type_meta_docs(name).into(),
            ..Field::default()
        }));
    }
    for field in &item.fields {
        let ident = field.ident.as_ref().expect("fields are named").to_string();
        let name = names.0.get(&ident).unwrap_or_else(|| panic!("{}.{ident} has no JSON name", item.ident)).clone();
        let required = required.contains(&name);
        fields.push(Field { required, ty: type_code(&field.ty), docs: doc_lines(&field.attrs).join("\n"), name, ..Field::default() });
    }
    Definition { docs: doc_lines(&item.attrs).join("\n"), object, fields, notes: Vec::new() }
}

fn type_meta_docs(name: &str) -> &'static str {
    if name == "kind" {
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
    } else {
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
    }
}

/// The list type that goes with an object type.
fn list_of(module: &[String], name: &str, of: &Definition, file: &syn::File) -> Option<(String, Definition)> {
    let kind = constant(file, "LIST_KIND")?;
    let object = of.object.as_ref()?;
    let field = |name: &str, ty: String, required, docs: &str, tag| Field {
        name: name.into(),
        ty,
        required,
        docs: docs.into(),
        tags: (0, tag),
        notes: Vec::new(),
    };
    let fields = vec![
        field("apiVersion", "s".into(), false, type_meta_docs("apiVersion"), 0),
        field("kind", "s".into(), false, type_meta_docs("kind"), 0),
        field("items", format!("[#{}.{name}", prefix(module)), true, &format!("items is the list of {name} objects."), 2),
        field(
            "metadata",
            "#io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta".into(),
            false,
            "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
            1,
        ),
    ];
    let list = Definition {
        docs: format!("{kind} is a list of {name} objects."),
        object: Some([object[0].clone(), object[1].clone(), kind.clone(), String::new()]),
        fields,
        notes: Vec::new(),
    };
    Some((format!("{}.{kind}", prefix(module)), list))
}

/// Group, version, kind and plural from `impl Resource`.
fn object(file: &syn::File) -> Option<[String; 4]> {
    Some([constant(file, "GROUP")?, constant(file, "VERSION")?, constant(file, "KIND")?, constant(file, "URL_PATH_SEGMENT")?])
}

fn constant(file: &syn::File, wanted: &str) -> Option<String> {
    file.items.iter().find_map(|item| {
        let syn::Item::Impl(block) = item else { return None };
        block.items.iter().find_map(|item| match item {
            syn::ImplItem::Const(c) if c.ident == wanted => match &c.expr {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
    })
}

/// `"envFrom" => Field::Key_env_from`: which JSON name belongs to which Rust field.
#[derive(Default)]
struct JsonNames(BTreeMap<String, String>);

impl<'ast> Visit<'ast> for JsonNames {
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let syn::Pat::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) = &arm.pat
            && let syn::Expr::Path(path) = &*arm.body
            && let Some(last) = path.path.segments.last()
            && let Some(ident) = last.ident.to_string().strip_prefix("Key_")
        {
            self.0.insert(ident.to_string(), name.value());
        }
        syn::visit::visit_arm(self, arm);
    }
}

/// The names that the JSON schema in the source lists as required.
fn required(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once("\n            \"required\": [") else { return Vec::new() };
    let Some((list, _)) = rest.split_once(']') else { return Vec::new() };
    list.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

/// Types whose JSON is not an object of fields.
fn scalar(name: &str) -> Option<&'static str> {
    Some(match name {
        "String" => "s",
        "bool" => "b",
        "i32" => "i",
        "i64" => "l",
        "f64" => "d",
        "ByteString" => "y",
        "Time" => "t",
        "MicroTime" => "m",
        "Duration" => "u",
        "Quantity" => "q",
        "IntOrString" => "o",
        "RawExtension" => "r",
        "FieldsV1" => "f",
        "JSON" | "Value" => "j",
        "CustomResourceSubresourceStatus" => "e",
        "JSONSchemaPropsOrArray" => "A",
        "JSONSchemaPropsOrBool" => "B",
        "JSONSchemaPropsOrStringArray" => "S",
        _ => return None,
    })
}

/// A type in the table's notation: `[` a list of, `{` a map to, `#` a definition, else one letter.
fn type_code(ty: &syn::Type) -> String {
    let syn::Type::Path(path) = ty else { panic!("a type that is no path") };
    let last = path.path.segments.last().expect("a path is not empty");
    let name = last.ident.to_string();
    let inner: Vec<String> = match &last.arguments {
        syn::PathArguments::AngleBracketed(list) => {
            list.args.iter().filter_map(|a| if let syn::GenericArgument::Type(t) = a { Some(type_code(t)) } else { None }).collect()
        }
        _ => Vec::new(),
    };
    match (name.as_str(), inner.as_slice()) {
        ("Option" | "Box", [of]) => of.clone(),
        ("Vec", [of]) => format!("[{of}"),
        ("BTreeMap", [_, of]) => format!("{{{of}"),
        (name, _) if scalar(name).is_some() => scalar(name).unwrap_or_default().to_string(),
        _ => {
            let module: Vec<String> = path.path.segments.iter().skip(1).map(|s| s.ident.to_string()).collect();
            format!("#{}", prefix(&module))
        }
    }
}
