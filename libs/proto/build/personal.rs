//! Writes the tables of `tenantry_proto::personal` from the descriptors: which fields are about a person.

use std::collections::BTreeSet;
use std::error::Error;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor};

/// The option that marks a field.
const PERSONAL: &str = "tenantry.options.v1.personal";
/// Packages that the gateway doesn't show.
const HIDDEN: [&str; 2] = ["tenantry.internal.", "tenantry.options."];

/// Rust source of `RESOURCE_TYPES`, `PERSONAL` and `NAMES`.
pub(crate) fn table(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option = pool.get_extension_by_name(PERSONAL);
    let option = option.ok_or_else(|| format!("{PERSONAL} is not among the contracts"))?;
    let is_personal = |field: &FieldDescriptor| {
        let options = field.options();
        options.has_extension(&option) && options.get_extension(&option).as_bool() == Some(true)
    };
    let (mut types, mut fields, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for message in pool.all_messages().filter(|message| {
        let package = message.package_name();
        package.starts_with("tenantry.") && !HIDDEN.iter().any(|hidden| package.starts_with(hidden))
    }) {
        let resource_type = snake_case(message.name());
        for field in message.fields().filter(is_personal) {
            fields.insert((resource_type.clone(), field.name().to_owned()));
            names.insert(field.name().to_owned());
        }
        types.insert(resource_type);
    }
    // Sorted: each is searched by halves.
    let (types, fields, names) = (
        Vec::from_iter(types),
        Vec::from_iter(fields),
        Vec::from_iter(names),
    );
    Ok(format!(
        "static RESOURCE_TYPES: &[&str] = &{types:?};\n\
         static PERSONAL: &[(&str, &str)] = &{fields:?};\n\
         static NAMES: &[&str] = &{names:?};\n"
    ))
}

/// `ApiKey` as events spell it: `api_key`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
