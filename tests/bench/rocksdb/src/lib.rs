//! Stands in for RocksDB, which limitador names and nothing here opens: limitador 0.14 with its storage in Redis doesn't build
//! without the one on disk, and that one takes a library of C++ that builds for a quarter of an hour. What is here has the names
//! that it uses, and refuses to open.

use std::convert::Infallible;
use std::fmt;
use std::iter::{Empty, empty};
use std::marker::PhantomData;
use std::path::Path;

/// The only error there is.
#[derive(Debug)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RocksDB isn't part of this build")
    }
}

impl std::error::Error for Error {}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::NotSupported
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotSupported,
    TimedOut,
    TryAgain,
}

pub struct MultiThreaded;
pub type DB = DBWithThreadMode<MultiThreaded>;

/// A database that nobody has.
pub struct DBWithThreadMode<T>(Infallible, PhantomData<T>);

type Entries = Empty<Result<(Box<[u8]>, Box<[u8]>), Error>>;

impl<T> DBWithThreadMode<T> {
    pub fn open(_: &Options, _: impl AsRef<Path>) -> Result<Self, Error> {
        Err(Error)
    }

    pub fn get(&self, _: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        match self.0 {}
    }

    pub fn merge(&self, _: impl AsRef<[u8]>, _: impl AsRef<[u8]>) -> Result<(), Error> {
        match self.0 {}
    }

    pub fn delete(&self, _: impl AsRef<[u8]>) -> Result<(), Error> {
        match self.0 {}
    }

    pub fn iterator(&self, _: IteratorMode) -> Entries {
        match self.0 {}
    }

    pub fn prefix_iterator(&self, _: impl AsRef<[u8]>) -> Entries {
        match self.0 {}
    }
}

pub enum IteratorMode {
    Start,
}

#[derive(Default)]
pub struct Options;

impl Options {
    pub fn create_if_missing(&mut self, _: bool) {}

    pub fn set_compression_type(&mut self, _: DBCompressionType) {}

    pub fn set_compaction_filter(
        &mut self,
        _: &str,
        _: impl FnMut(u32, &[u8], &[u8]) -> CompactionDecision,
    ) {
    }

    pub fn set_merge_operator_associative(
        &mut self,
        _: &str,
        _: impl Fn(&[u8], Option<&[u8]>, &MergeOperands) -> Option<Vec<u8>>,
    ) {
    }
}

pub enum DBCompressionType {
    Bz2,
    None,
}

pub enum CompactionDecision {
    Keep,
    Remove,
}

pub struct MergeOperands;

impl<'a> IntoIterator for &'a MergeOperands {
    type Item = &'a [u8];
    type IntoIter = Empty<&'a [u8]>;

    fn into_iter(self) -> Self::IntoIter {
        empty()
    }
}
