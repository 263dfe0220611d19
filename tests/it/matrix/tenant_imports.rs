//! TenantImportService: for operators alone.

use super::Class;

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.registry.v1.TenantImportService/CancelTenantImport",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.TenantImportService/GetTenantImport",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.TenantImportService/ImportTenants",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.TenantImportService/ListTenantImportRows",
        Class::Operator,
    ),
    (
        "/tenantry.registry.v1.TenantImportService/ListTenantImports",
        Class::Operator,
    ),
];
