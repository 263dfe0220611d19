//! The comments of the protos, by descriptor.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// The comment before each element of each file.
pub(crate) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(crate) fn of(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.into_iter().flat_map(|info| &info.location) {
                comments.insert(
                    (file.name().to_owned(), location.path.clone()),
                    unwrap(location.leading_comments()),
                );
            }
        }
        Self(comments)
    }

    /// The comment on the element at `path` of `file`: one line per paragraph; empty where there is none.
    pub(crate) fn get(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0
            .get(&(file.name().to_owned(), path.to_vec()))
            .cloned()
            .unwrap_or_default()
    }
}

/// Joins the lines of each paragraph; paragraphs stay apart.
fn unwrap(comment: &str) -> String {
    let lines = comment
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("\n");
    lines
        .split("\n\n")
        .map(|paragraph| paragraph.trim().replace('\n', " "))
        .collect::<Vec<_>>()
        .join("\n\n")
}
