//! What `./dev up` leaves behind for people and programs: lines to paste, and `.dev/env`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::paths;
use tenantry_testkit::tools::Tool;

use crate::demo::Demo;

/// Writes `.dev/env`, to be sourced by a shell.
pub(crate) fn write_environment(fleet: &Fleet) -> Result<()> {
    let operator = fleet.operator();
    let mut values = vec![
        ("TENANTRY_GATEWAY".to_owned(), fleet.gateway()),
        ("TENANTRY_OPERATOR_EMAIL".to_owned(), operator.email.clone()),
        (
            "TENANTRY_OPERATOR_PASSWORD".to_owned(),
            operator.password.clone(),
        ),
        ("TENANTRY_OPERATOR_TOKEN".to_owned(), operator.token.clone()),
        (
            "TENANTRY_DATABASE_URL".to_owned(),
            fleet.superuser_url().to_string(),
        ),
        (
            "TENANTRY_REDIS_URL".to_owned(),
            fleet.redis_url().to_owned(),
        ),
    ];
    for service in fleet
        .services()
        .iter()
        .filter(|service| service.replica() == 0)
    {
        values.push((
            format!("TENANTRY_{}_ADDR", service.name().to_uppercase()),
            service.address().to_string(),
        ));
    }
    let mut text = String::new();
    for (name, value) in values {
        writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"))?;
    }
    paths::write_secret(&paths::dev().join("env"), text.as_bytes())?;
    Ok(())
}

/// Prints how to try it.
pub(crate) fn print(fleet: &Fleet, demo: &Demo, took: Duration) {
    let gateway = fleet.gateway();
    let environment = paths::dev().join("env");
    println!(
        "\nready in {:.1} s: {gateway}, with {} tenants in two projects. Docs: {gateway}/docs\n",
        took.as_secs_f64(),
        demo.tenants
    );
    println!("  source {}", environment.display());
    println!("\nREST:\n");
    let auth = r#"-H "Authorization: Bearer $TENANTRY_OPERATOR_TOKEN""#;
    println!(r#"  curl -s {auth} "$TENANTRY_GATEWAY/api/v1/tenants?page_size=3""#);
    println!(r#"  curl -s {auth} "$TENANTRY_GATEWAY/api/v1/tenants/northwind""#);
    println!(
        r#"  curl -s {auth} -H 'Content-Type: application/json' -d '{{"name":"Acme","parent_id":"{}"}}' "$TENANTRY_GATEWAY/api/v1/tenants""#,
        demo.parent_id
    );
    println!("\ngRPC, by reflection through the same gateway:\n");
    let method = "tenantry.registry.v1.TenantService/GetTenant";
    if let Some(grpcurl) = Tool::Grpcurl.locate() {
        let grpcurl = grpcurl.display();
        println!(r#"  {grpcurl} -plaintext {auth} "${{TENANTRY_GATEWAY#http://}}" list"#);
        println!(
            r#"  {grpcurl} -plaintext {auth} -d '{{"tenant":"northwind"}}' "${{TENANTRY_GATEWAY#http://}}" {method}"#
        );
    } else if let Some(buf) = Tool::Buf.locate() {
        let buf = format!(
            "{} curl --protocol grpc --http2-prior-knowledge --reflect-header '*' {auth}",
            buf.display()
        );
        println!(r#"  {buf} --list-methods "$TENANTRY_GATEWAY""#);
        println!(r#"  {buf} -d '{{"tenant":"northwind"}}' "$TENANTRY_GATEWAY/{method}""#);
    }
    println!("\n./dev status, ./dev logs [service], ./dev down, ./dev reset, ./dev test");
}
