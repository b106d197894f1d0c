//! Reads the partner files and embeds what they came to; a wrong file stops the build here. `PARTNERS_DIR` names another
//! folder of them: the benchmark builds an origin whose partners may send as much as it takes.

fn main() {
    println!("cargo::rerun-if-env-changed=PARTNERS_DIR");
    let folder = std::env::var_os("PARTNERS_DIR").unwrap_or_else(|| "../partners".into());
    postback::partner::file::embed(std::path::Path::new(&folder));
    println!("cargo::rerun-if-changed=migrations");
}
