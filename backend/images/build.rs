//! Compiles the two programs that our own images hold: static, a few kilobytes, no libc.
use std::path::Path;
use std::process::Command;

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let rustc = std::env::var("RUSTC").expect("cargo sets RUSTC");
    let target = std::env::var("TARGET").expect("cargo sets TARGET");
    println!("cargo:rerun-if-changed=programs");
    for program in ["pod", "hello_openshift"] {
        let source = format!("programs/{program}.rs");
        let status = Command::new(&rustc)
            .args(["--edition", "2024", "--crate-type", "bin", "--target", &target])
            .args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "relocation-model=static", "-C", "strip=symbols"])
            .args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-static", "-C", "link-arg=-nostartfiles", "-C", "link-arg=-no-pie"])
            .args(["-C", "link-arg=-Wl,--build-id=none,-z,norelro"])
            .arg("-o")
            .arg(Path::new(&out).join(program))
            .arg(&source)
            .status()
            .expect("rustc runs");
        assert!(status.success(), "cannot compile {source}");
    }
}
