//! In place of `parquet`, in a build without it: a recipe that asks for it is refused before there is a file.

use std::convert::Infallible;

use bytes::Bytes;

use super::file::CompressionWord;
use super::kind::Kind;
use super::value::Value;
use crate::EngineError;

pub(super) const IS_BUILT: bool = false;

/// There is none. What it holds is nobody's but its own to see: code that takes one is no dead code to the compiler.
#[derive(Debug)]
pub(super) struct ParquetFile(Infallible);

impl ParquetFile {
    pub(super) fn begin<'a>(
        _columns: impl Iterator<Item = (&'a str, Option<&'a Kind>)>,
        _compression: CompressionWord,
        _row_group_bytes: usize,
    ) -> Result<Self, EngineError> {
        Err(EngineError::Internal("this build has no Parquet".into()))
    }

    pub(super) fn another(&self) -> Self {
        match self.0 {}
    }

    pub(super) fn held(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn is_full(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn is_text(&self, _column: usize) -> bool {
        match self.0 {}
    }

    pub(super) fn misfit(&self, _column: usize, _value: &Value) -> Option<&'static str> {
        match self.0 {}
    }

    pub(super) fn push(&mut self, _column: usize, _field: Option<(&Value, &[u8])>) {
        match self.0 {}
    }

    pub(super) fn advance(&mut self) -> Result<Option<Bytes>, EngineError> {
        match self.0 {}
    }

    pub(super) fn flush(&mut self) -> Result<Option<Bytes>, EngineError> {
        match self.0 {}
    }

    pub(super) fn finish(&mut self) -> Result<Bytes, EngineError> {
        match self.0 {}
    }
}
