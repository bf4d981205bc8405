//! In place of `parquet`, in a build without it: a recipe that asks for it is refused before there is a file.

use bytes::Bytes;

use super::file::CompressionWord;
use super::kind::Kind;
use super::value::Value;
use crate::EngineError;

pub(super) const IS_BUILT: bool = false;

/// There is none.
#[derive(Debug)]
pub(super) enum ParquetFile {}

impl ParquetFile {
    pub(super) fn begin<'a>(
        _columns: impl Iterator<Item = (&'a str, Option<&'a Kind>)>,
        _compression: CompressionWord,
        _row_group_bytes: usize,
    ) -> Result<Self, EngineError> {
        Err(EngineError::Internal("this build has no Parquet".into()))
    }

    pub(super) fn another(&self) -> Self {
        match *self {}
    }

    pub(super) fn shrink(&mut self) {
        match *self {}
    }

    pub(super) fn held(&self) -> usize {
        match *self {}
    }

    pub(super) fn is_full(&self) -> bool {
        match *self {}
    }

    pub(super) fn is_text(&self, _column: usize) -> bool {
        match *self {}
    }

    pub(super) fn misfit(&self, _column: usize, _value: &Value) -> Option<&'static str> {
        match *self {}
    }

    pub(super) fn push(&mut self, _column: usize, _field: Option<(&Value, &[u8])>) {
        match *self {}
    }

    pub(super) fn advance(&mut self) -> Result<Option<Bytes>, EngineError> {
        match *self {}
    }

    pub(super) fn flush(&mut self) -> Result<Option<Bytes>, EngineError> {
        match *self {}
    }

    pub(super) fn finish(&mut self) -> Result<Bytes, EngineError> {
        match *self {}
    }
}
