//! What must become of a file, computed from its spec alone.

use std::collections::BTreeMap;

use common::contract::hex;
use common::store::checksum_base64;
use crc_fast::{CrcAlgorithm, checksum_combine, crc64_nvme};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::dirt::{Fate, Spoiled};
use super::text::Text;
use crate::parallel::in_order;

/// What the processor must make of a file, by its defaults: the sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// Rows, the header not counted.
    pub rows_in: u64,
    /// Rows of the clean output.
    pub rows_out: u64,
    /// Rows that are rejected.
    pub rows_rejected: u64,
    /// The same by reason.
    pub by_reason: BTreeMap<&'static str, u64>,
    /// Bytes of text.
    pub text_bytes: u64,
}

/// A row that must be rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// Its index among the rows, from 0.
    pub row: u64,
    /// The line it begins in; the header is line 1. It has no more than this line.
    pub line: u64,
    /// Where it begins in the text.
    pub byte_offset: u64,
    /// Its bytes, its line end included.
    pub byte_length: u64,
    /// Why.
    pub reason: &'static str,
}

/// The clean output, before it is compressed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hashes {
    /// Bytes, the header's included.
    pub output_bytes: u64,
    /// CRC-64/NVME in base64, as S3 has it.
    pub crc64nvme: String,
    /// SHA-256 in hexadecimal, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

const REASONS: [&str; 5] =
    ["invalid_encoding", "record_too_long", "too_few_fields", "too_many_fields", "unclosed_quote"];

impl Text {
    /// What the processor must make of it. Takes no time, whatever the size.
    pub fn expect(&self) -> Expectation {
        let by_reason: BTreeMap<_, _> = REASONS
            .into_iter()
            .map(|reason| (reason, self.count(|fate| fate == Fate::Rejected(reason))))
            .filter(|(_, rows)| *rows > 0)
            .collect();
        let rows_rejected = by_reason.values().sum();
        Expectation {
            rows_in: self.rows(),
            rows_out: self.rows() - rows_rejected,
            rows_rejected,
            by_reason,
            text_bytes: self.bytes(),
        }
    }

    /// The rows that must be rejected, in order.
    pub fn rejects(&self) -> impl Iterator<Item = Reject> + '_ {
        self.changes(0..self.rows()).filter_map(|Spoiled { row, fault }| {
            let Fate::Rejected(reason) = fault.fate() else { return None };
            let byte_offset = self.offset(row);
            let byte_length = self.offset(row + 1) - byte_offset;
            Some(Reject { row, line: self.line(row), byte_offset, byte_length, reason })
        })
    }

    /// What the clean output must be. Makes all rows, on `threads` threads; calls `made` with how many there are, again
    /// and again. SHA-256 can't be computed in parts: it takes as long as one thread needs for it.
    pub fn hash_clean(&self, threads: usize, sha256: bool, mut made: impl FnMut(u64)) -> Hashes {
        let mut output_bytes = self.header().len() as u64;
        let mut crc = crc64_nvme(self.header());
        let mut sha = sha256.then(|| Sha256::new_with_prefix(self.header()));
        let clean_cycle = |cycle, scratch: &mut Vec<u8>, mut out: Vec<u8>| {
            self.write_clean_cycle(cycle, scratch, &mut out);
            (crc64_nvme(&out), out)
        };
        in_order(self.cycles(), threads, clean_cycle, |cycle, (next, clean)| {
            crc = checksum_combine(CrcAlgorithm::Crc64Nvme, crc, next, clean.len() as u64);
            output_bytes += clean.len() as u64;
            if let Some(sha) = &mut sha {
                sha.update(&clean);
            }
            made(self.cycle_rows(cycle).end);
            Ok::<_, std::convert::Infallible>(clean)
        })
        .unwrap_or_else(|never| match never {});
        Hashes { output_bytes, crc64nvme: checksum_base64(crc), sha256: sha.map(|sha| hex(&sha.finalize())) }
    }
}
