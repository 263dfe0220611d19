//! Runs the command.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

/// How it ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

/// A file with this text, as long as it is held.
pub(crate) fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

pub(crate) fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// The command with these arguments, and this at its standard input.
pub(crate) fn run(args: &[&str], input: impl AsRef<[u8]>) -> Said {
    run_program(env!("CARGO_BIN_EXE_tenantry-verify"), args, input)
}

pub(crate) fn run_program(program: &str, args: &[&str], input: impl AsRef<[u8]>) -> Said {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it read everything.
    let _ = stdin.write_all(input.as_ref());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Said {
        code: output.status.code(),
        text: String::from_utf8(text).unwrap(),
    }
}

/// Checks an export.
pub(crate) fn check(export: impl AsRef<[u8]>, vkey: &str) -> Said {
    run(&["export", "-", "--key", vkey], export)
}

impl Said {
    #[track_caller]
    pub(crate) fn proves(&self, texts: &[&str]) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self.says(texts);
    }

    #[track_caller]
    pub(crate) fn refuses(&self, texts: &[&str]) {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert!(self.text.starts_with("NOT PROVED"));
        self.says(texts);
    }

    #[track_caller]
    pub(crate) fn cannot(&self, texts: &[&str]) {
        assert_eq!(self.code, Some(2), "{}", self.text);
        self.says(texts);
    }

    #[track_caller]
    fn says(&self, texts: &[&str]) {
        for text in texts {
            assert!(self.text.contains(text), "{text:?} isn't in: {}", self.text);
        }
    }
}
