//! Writes the table of every built-in kind's fields, from the sources of k8s-openapi and k8s-pb.
mod openapi;
mod proto;
mod render;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the API whose sources are read; k8s-pb 0.9 has the same.
const API: &str = "v1_35";

/// One type of the API, as both sources describe it.
#[derive(Default)]
pub struct Definition {
    pub docs: String,
    /// Group, version, kind, plural (may be empty) of a type that is an object by itself.
    pub object: Option<[String; 4]>,
    pub fields: Vec<Field>,
    /// Annotations of the type itself (`structType=atomic`).
    pub notes: Vec<String>,
}

/// One field of a type.
#[derive(Default)]
pub struct Field {
    pub name: String,
    pub ty: String,
    pub docs: String,
    pub required: bool,
    /// Protobuf tags: of the embedded message that holds the field (0: none) and of the field in it (0: not in protobuf).
    pub tags: (u32, u32),
    /// Annotations (`listType=map`, `patchMergeKey=name`).
    pub notes: Vec<String>,
}

pub type Definitions = BTreeMap<String, Definition>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sources = sources()?;
    let mut definitions = openapi::read(&sources["k8s-openapi"].join("src").join(API))?;
    let messages = proto::read(&sources["k8s-pb"].join("src"))?;
    proto::add_tags(&mut definitions, &messages);
    let (fields, docs) = render::render(&definitions);
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../backend/schema/data/schema.bin");
    std::fs::create_dir_all(out.parent().expect("a file has a folder"))?;
    let (small_fields, small_docs) = (compress(&fields)?, compress(&docs)?);
    let mut file = std::fs::File::create(&out)?;
    file.write_all(&(small_fields.len() as u32).to_le_bytes())?;
    file.write_all(&small_fields)?;
    file.write_all(&small_docs)?;
    println!(
        "{} definitions; fields {} -> {} bytes, descriptions {} -> {} bytes",
        definitions.len(),
        fields.len(),
        small_fields.len(),
        docs.len(),
        small_docs.len()
    );
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, fields)?;
    }
    Ok(())
}

fn compress(text: &str) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 24).write_all(text.as_bytes())?;
    Ok(out)
}

/// Where cargo keeps the two crates.
fn sources() -> Result<BTreeMap<String, PathBuf>, Box<dyn std::error::Error>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new("cargo").args(["metadata", "--format-version=1", "--manifest-path", manifest]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().ok_or("cargo metadata lists no packages")? {
        let (Some(name), Some(path)) = (package["name"].as_str(), package["manifest_path"].as_str()) else { continue };
        if name == "k8s-openapi" || name == "k8s-pb" {
            found.insert(name.to_string(), Path::new(path).parent().expect("a file has a folder").to_path_buf());
        }
    }
    if found.len() == 2 { Ok(found) } else { Err("cargo does not know k8s-openapi and k8s-pb".into()) }
}

/// Every `.rs` file below a folder, with its module path.
pub fn files(root: &Path) -> std::io::Result<Vec<(Vec<String>, String)>> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_path_buf(), Vec::<String>::new())];
    while let Some((folder, module)) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_string();
            if path.is_dir() {
                open.push((path, [module.clone(), vec![name]].concat()));
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((module.clone(), std::fs::read_to_string(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `io.k8s.api.core.v1` for the module `api::core::v1`: definitions are named as Kubernetes' OpenAPI names them.
pub fn prefix(module: &[String]) -> String {
    let parts: Vec<String> = module
        .iter()
        .map(|m| m.replace("apiextensions_apiserver", "apiextensions-apiserver").replace("kube_aggregator", "kube-aggregator"))
        .collect();
    format!("io.k8s.{}", parts.join("."))
}

/// The text of `///` comments, one line each.
pub fn doc_lines(attributes: &[syn::Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value
            && pair.path.is_ident("doc")
        {
            let text = text.value();
            lines.push(text.strip_prefix(' ').unwrap_or(&text).to_string());
        }
    }
    lines
}
