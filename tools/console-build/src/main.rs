//! Builds the console without trunk: cargo for WASM, wasm-bindgen, one style sheet, hashed names, brotli.
//!
//!     console-build REPOSITORY TARGET-DIR
//!
//! Writes REPOSITORY/dist: `index.html.br` and `assets/NAME-HASH.EXT.br`, which the server embeds.
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Bytes of a hash that stand in a name.
const HASH_BYTES: usize = 8;
const BROTLI_QUALITY: u32 = 11;
const BROTLI_WINDOW: u32 = 22;
/// What is built from what; equal to the last time means that nothing is to do.
const STAMP: &str = "stamp";

fn main() -> Outcome<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [repository, target] = arguments.as_slice() else { return Err("usage: console-build REPOSITORY TARGET-DIR".into()) };
    let program = compile(repository, target)?;
    let (page, dist) = (fs::read_to_string(repository.join("frontend/index.html"))?, repository.join("dist"));
    let boot = fs::read_to_string(repository.join("frontend/boot.js"))?;
    let style = style(repository, &page)?;
    let wasm = fs::read(&program)?;
    let stamp = hash(&[&wasm, page.as_bytes(), boot.as_bytes(), style.as_bytes(), include_bytes!("main.rs")]);
    if fs::read_to_string(dist.join(STAMP)).is_ok_and(|s| s == stamp) {
        println!("the console is up to date");
        return Ok(());
    }
    let mut bindings = wasm_bindgen_cli_support::Bindgen::new();
    let mut output = bindings
        .input_path(&program)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()?;
    let bound = output.wasm_mut().emit_wasm();
    let script = output.js().to_string();
    let snippets = snippets(&output);
    let assets = dist.join("assets");
    let _ = fs::remove_dir_all(&assets);
    fs::create_dir_all(&assets)?;
    let mut total = 0;
    for (path, text) in &snippets {
        let to = assets.join("snippets").join(format!("{path}.br"));
        fs::create_dir_all(to.parent().ok_or("a snippet without folder")?)?;
        total += compress(&to, text.as_bytes())?;
    }
    let mut place = |name: &str, extension: &str, bytes: &[u8]| -> Outcome<String> {
        let file = format!("{name}-{}.{extension}", hash(&[bytes]));
        total += compress(&assets.join(format!("{file}.br")), bytes)?;
        Ok(format!("/assets/{file}"))
    };
    let program = place("console", "wasm", &bound)?;
    let script = place("console", "js", script.as_bytes())?;
    let boot = place("boot", "js", boot.replace("SCRIPT", &script).replace("PROGRAM", &program).as_bytes())?;
    let style = place("style", "css", style.as_bytes())?;
    total += compress(&dist.join("index.html.br"), finished(&page, &style, &boot, &script, &program).as_bytes())?;
    fs::write(dist.join(STAMP), stamp)?;
    println!("the console is built: {} KB compressed", total / 1000);
    Ok(())
}

/// The program as cargo makes it.
fn compile(repository: &Path, target: &Path) -> Outcome<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--target", "wasm32-unknown-unknown", "--manifest-path"])
        .arg(repository.join("frontend/Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        // Leptos then forgets the exact types of parts of a page: less code for each, and quicker to compile.
        .env("RUSTFLAGS", "--cfg erase_components")
        .status()?;
    if !status.success() {
        return Err("the console does not compile".into());
    }
    Ok(target.join("wasm32-unknown-unknown/release/frontend.wasm"))
}

/// Scripts that crates bring along, by the path at which the main script imports them; their folders are hashes.
fn snippets(output: &wasm_bindgen_cli_support::Output) -> Vec<(String, String)> {
    let inline = output
        .snippets()
        .iter()
        .flat_map(|(folder, texts)| texts.iter().enumerate().map(move |(i, text)| (format!("{folder}/inline{i}.js"), text.clone())));
    inline.chain(output.local_modules().iter().map(|(path, text)| (path.clone(), text.clone()))).collect()
}

/// The style sheets that the page names, in its order.
fn style(repository: &Path, page: &str) -> Outcome<String> {
    let mut all = String::new();
    for line in page.lines().filter(|l| l.contains("rel=\"css\"")) {
        let href = line.split("href=\"").nth(1).and_then(|r| r.split('"').next()).ok_or("a style sheet without href")?;
        all += &fs::read_to_string(repository.join("frontend").join(href))?;
    }
    Ok(all)
}

/// The page with trunk's lines replaced.
fn finished(page: &str, style: &str, boot: &str, script: &str, program: &str) -> String {
    let mut done = String::new();
    for line in page.lines().filter(|l| !l.contains("rel=\"css\"")) {
        if line.contains("rel=\"rust\"") {
            done += &format!(
                "    <link rel=\"stylesheet\" href=\"{style}\">\n    <link rel=\"modulepreload\" href=\"{script}\">\n    \
                 <link rel=\"preload\" as=\"fetch\" type=\"application/wasm\" crossorigin href=\"{program}\">\n    \
                 <script type=\"module\" src=\"{boot}\"></script>\n"
            );
        } else {
            done += line;
            done.push('\n');
        }
    }
    done
}

fn compress(to: &Path, bytes: &[u8]) -> Outcome<usize> {
    let mut out = vec![];
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: i32::try_from(BROTLI_QUALITY)?,
        lgwin: i32::try_from(BROTLI_WINDOW)?,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &parameters)?;
    fs::write(to, &out)?;
    Ok(out.len())
}

fn hash(parts: &[&[u8]]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |h, p| h.chain_update(p)).finalize();
    digest.iter().take(HASH_BYTES).map(|b| format!("{b:02x}")).collect()
}
