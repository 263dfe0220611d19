//! Writes `Debug` for messages that have fields marked `debug_redact`, so that no log line can hold a secret.

use std::error::Error;
use std::fmt::Write;

use protox::prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::audit::is_redacted;

/// A message with at least one field that is not to be printed.
pub(crate) struct Message(MessageDescriptor);

impl Message {
    /// The name as prost-build wants it: with a leading dot.
    pub(crate) fn path(&self) -> String {
        format!(".{}", self.0.full_name())
    }
}

/// All such messages of ours.
pub(crate) fn messages(pool: &DescriptorPool) -> Result<Vec<Message>, Box<dyn Error>> {
    let mut found = Vec::new();
    for message in pool
        .all_messages()
        .filter(|message| message.package_name().starts_with("tenantry."))
    {
        let secret: Vec<_> = message.fields().filter(is_redacted).collect();
        if secret.is_empty() {
            continue;
        }
        if message.parent_message().is_some()
            || secret.iter().any(|field| real_oneof(field).is_some())
        {
            return Err(format!(
                "{}: debug_redact in a nested message or in a oneof is not supported: move the field to a top-level message",
                message.full_name()
            )
            .into());
        }
        found.push(Message(message));
    }
    Ok(found)
}

/// Rust source with the `Debug` of those `messages` that belong to `package`.
pub(crate) fn debug_impls(messages: &[Message], package: &str) -> String {
    let mut source = String::new();
    for Message(message) in messages
        .iter()
        .filter(|message| message.0.package_name() == package)
    {
        let name = message.name();
        // Writing to a String can't fail.
        let _ = write!(
            source,
            "impl ::core::fmt::Debug for {name} {{\n    \
             fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{\n        \
             f.debug_struct({name:?})"
        );
        for field in message.fields().filter(|field| real_oneof(field).is_none()) {
            let field_name = field.name();
            let value = if is_redacted(&field) {
                r#"&::core::format_args!("[redacted]")"#.to_owned()
            } else {
                format!("&self.r#{field_name}")
            };
            let _ = write!(source, ".field({field_name:?}, {value})");
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let _ = write!(source, ".field({0:?}, &self.r#{0})", oneof.name());
        }
        source.push_str(".finish()\n    }\n}\n");
    }
    source
}

/// The oneof that was written in the proto, if any; `optional` makes a synthetic one, which doesn't count.
fn real_oneof(
    field: &protox::prost_reflect::FieldDescriptor,
) -> Option<protox::prost_reflect::OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic())
}
