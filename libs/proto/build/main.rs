//! Compiles the contracts: Rust code, the descriptor sets, and the tables of `tenantry_proto::methods` and `personal`,
//! with no protoc.

mod audit;
mod methods;
mod personal;
mod redact;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use protox::Compiler;
use protox::prost_reflect::DescriptorPool;

/// What the public descriptor set holds besides our own files: without these, Envoy renders errors without details.
const ERROR_DETAILS: [&str; 3] = [
    "google/rpc/status.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
];
/// The contracts of Envoy's that are served: its question who may pass, to identity, and how much, to quota.
const OF_ENVOY: [&str; 2] = [
    "envoy/service/auth/v3/external_auth.proto",
    "envoy/service/ratelimit/v3/rls.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = root.join("../../proto");
    let theirs = root.join("third_party");
    let out =
        PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: build through cargo")?);
    println!("cargo::rerun-if-changed={}", ours.display());
    println!("cargo::rerun-if-changed={}", theirs.display());
    println!("cargo::rerun-if-changed=build");

    let includes = [ours.as_path(), theirs.as_path()];
    let all = our_files(&ours)?;
    let public: Vec<_> = all
        .iter()
        .filter(|file| !file.starts_with("tenantry/internal"))
        .cloned()
        .collect();

    // The bytes come from the compiler: encoding its prost type would drop google.api.http, and each path would be 404.
    fs::write(
        out.join("public.binpb"),
        compile(&includes, &public, &ERROR_DETAILS)?.encode_file_descriptor_set(),
    )?;
    let internal = compile(&includes, &all, &ERROR_DETAILS)?;
    fs::write(
        out.join("internal.binpb"),
        internal.encode_file_descriptor_set(),
    )?;
    let pool = internal.descriptor_pool();
    fs::write(out.join("methods.rs"), methods::table(&pool)?)?;
    fs::write(out.join("personal.rs"), personal::table(&pool)?)?;

    generate(&compile(&includes, &all, &OF_ENVOY)?, &pool, &out)
}

/// Our .proto files below `root`, relative to it, sorted.
fn our_files(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                files.push(path.strip_prefix(root)?.to_path_buf());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Compiles `files` and `more`, with imports and comments.
fn compile(
    includes: &[&Path],
    files: &[PathBuf],
    more: &[&str],
) -> Result<Compiler, protox::Error> {
    let mut compiler = Compiler::new(includes)?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files)?.open_files(more)?;
    Ok(compiler)
}

/// Writes messages, clients and servers, with Debug by hand where a field must not be printed.
fn generate(compiled: &Compiler, pool: &DescriptorPool, out: &Path) -> Result<(), Box<dyn Error>> {
    let files = compiled.file_descriptor_set();
    let packages: Vec<String> = files
        .file
        .iter()
        .map(|file| file.package().to_owned())
        .collect();

    let mut config = tonic_prost_build::Config::new();
    config.disable_comments([".envoy", ".xds"]);
    let redacted = redact::messages(pool)?;
    tonic_prost_build::configure()
        .out_dir(out)
        .emit_rerun_if_changed(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .extern_path(".google.api.HttpBody", "crate::google::api::HttpBody")
        .disable_comments([
            "envoy.service.auth.v3.Authorization",
            "envoy.service.auth.v3.Authorization.Check",
            "envoy.service.ratelimit.v3.RateLimitService",
            "envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit",
        ])
        .skip_debug(redacted.iter().map(redact::Message::path))
        .compile_fds_with_config(files, config)?;

    for package in packages
        .iter()
        .filter(|package| package.starts_with("tenantry."))
    {
        fs::write(
            out.join(format!("{package}.redact.rs")),
            redact::debug_impls(&redacted, package),
        )?;
    }
    Ok(())
}
