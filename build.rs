//! Reads the partner files and embeds what they came to; a wrong file stops the build here.

fn main() {
    postback::partner::file::embed(std::path::Path::new("partners"));
}
