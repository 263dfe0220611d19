//! A new migration rebuilds the binary that carries it.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
