//! Rules about the code itself: which package may use which, where third-party crates may appear, how files begin.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Rust files below a folder, without build output.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !["target", "dist", "node_modules", ".git"].iter().any(|skip| name == *skip) {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["shared", "backend", "tests", "tools", "frontend"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 200, "the sources are where this test looks");
    found.sort();
    found
}

/// Dependencies (not those for tests) that a package names, by section.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && let Some(end) = line.find(['.', ' ', '=']) {
            found.push(line[..end].to_string());
        }
    }
    found
}

/// What each package may use of ours; `backend` chooses implementations and may use everything.
const ARROWS: [(&str, &[&str]); 10] = [
    ("shared", &[]),
    ("backend/schema", &["shared"]),
    ("backend/logic", &["shared"]),
    ("backend/meter", &[]),
    ("backend/store", &["shared", "meter"]),
    ("backend/registry", &["shared", "schema", "logic", "store", "meter"]),
    ("backend/apiserver", &["shared", "schema", "logic", "registry", "meter"]),
    ("backend/control", &["shared", "logic", "registry", "meter"]),
    ("backend/node", &["shared", "logic", "meter"]),
    ("backend/images", &[]),
];
const OURS: [&str; 11] = ["shared", "meter", "schema", "logic", "store", "registry", "apiserver", "control", "node", "images", "backend"];

#[test]
fn packages_use_only_what_the_map_allows() {
    for (package, allowed) in ARROWS {
        let manifest = read(&root().join(package).join("Cargo.toml"));
        for used in dependencies(&manifest).iter().filter(|d| OURS.contains(&d.as_str())) {
            assert!(allowed.contains(&used.as_str()), "{package} must not use {used}; design.md draws the arrows");
        }
    }
}

#[test]
fn third_party_crates_stay_behind_their_fences() {
    let fences: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("redb", ["backend/store"].as_slice()),
        ("bollard", &["backend/node"]),
        ("axum", &["backend/apiserver", "backend"]),
        ("jsonwebtoken", &["backend/apiserver"]),
        ("rcgen", &["backend/apiserver"]),
        ("clap", &["shared", "backend"]),
        // The node's probes are HTTP requests.
        ("reqwest", &["shared", "tests", "backend/node"]),
    ]);
    let packages = ARROWS.iter().map(|(p, _)| *p).chain(["backend", "tests"]);
    for package in packages {
        let used = dependencies(&read(&root().join(package).join("Cargo.toml")));
        for (name, homes) in &fences {
            assert!(!used.iter().any(|u| u == name) || homes.contains(&package), "{package} must not use {name}; it belongs to {homes:?}");
        }
    }
}

#[test]
fn decisions_know_no_clock_no_chance_and_no_outside() {
    let manifest = read(&root().join("backend/logic/Cargo.toml"));
    for name in dependencies(&manifest) {
        assert!(!["tokio", "rand", "reqwest", "store", "registry"].contains(&name.as_str()), "logic must not use {name}");
    }
    let mut files = Vec::new();
    sources(&root().join("backend/logic/src"), &mut files);
    for file in files {
        let text = read(&file);
        for banned in
            ["SystemTime::now", "Instant::now", "Timestamp::now", "std::fs", "std::process", "std::net::Tcp", "thread::sleep", "async fn"]
        {
            assert!(!text.contains(banned), "{}: {banned} has no place in a decision; make it an argument", file.display());
        }
    }
}

#[test]
fn each_file_says_first_what_it_answers() {
    for file in all_sources() {
        let text = read(&file);
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//!") && first.len() > 12,
            "{}: the first line must be `//!` and say what the file is for",
            file.display()
        );
    }
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn nothing_unwraps_outside_tests() {
    for file in all_sources() {
        let path = file.display().to_string();
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if ["/tests/", "/benches/", "/examples/", "/tools/"].iter().any(|f| path.contains(f))
            || name == "tests.rs"
            || name == "conformance.rs"
        {
            continue;
        }
        for (number, line) in code(&read(&file)).lines().enumerate() {
            let bare = line.split("//").next().unwrap_or_default();
            assert!(!bare.contains(".unwrap()"), "{path}:{}: use `?` or expect(\"why this cannot fail\")", number + 1);
            assert!(!bare.contains("todo!(") && !bare.contains("dbg!("), "{path}:{}: unfinished", number + 1);
        }
    }
}

#[test]
fn the_readme_points_at_files_that_exist() {
    let readme = read(&root().join("README.md"));
    let mut seen = 0;
    for line in readme.lines().filter(|l| l.starts_with('|')) {
        for (index, path) in line.split('`').enumerate().filter(|(i, _)| i % 2 == 1) {
            if path.contains('/') {
                assert!(root().join(path).exists(), "README: {path} (piece {index}) does not exist");
                seen += 1;
            }
        }
    }
    assert!(seen > 8, "the table \"where is …\" is in the README");
}

#[test]
fn no_file_is_so_long_that_nobody_reads_it() {
    // House style aims at 400 lines; generated tables apart, twice that is too much.
    for file in all_sources() {
        let lines = read(&file).lines().count();
        assert!(lines <= 800, "{}: {lines} lines; look for the second question that it answers", file.display());
    }
}
