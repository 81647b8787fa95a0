//! Lists the built console's files for embedding; none when nobody has run `make console`, which is fine for tests.
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../dist");
    println!("cargo:rerun-if-changed=../../dist");
    let mut files = vec![];
    collect(&root, "", &mut files);
    files.sort();
    let rows: String = files.iter().map(|(url, file)| format!("    ({url:?}, include_bytes!({file:?}) as &[u8]),\n")).collect();
    let text = format!("&[\n{rows}]");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("console_assets.rs");
    fs::write(out, text).expect("OUT_DIR can be written");
}

/// Every compressed file below a folder, with the path that it has on the server.
fn collect(folder: &Path, url: &str, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{url}/{name}"), files);
        } else if let Some(plain) = name.strip_suffix(".br") {
            files.push((format!("{url}/{plain}"), path.canonicalize().unwrap_or(path)));
        }
    }
}
