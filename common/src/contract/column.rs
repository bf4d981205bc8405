//! A column of the output, as the receipt profiles it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one column of the output holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `integer`, `number`, `boolean`, `date`, `timestamp` or `string`: what 95 % or more of its values are. Absent where
    /// there is none.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The share of its values that fit the type, from 0 to 1.
    pub share: f64,
    /// Fields that say that there is no value, such as `NULL` and `NA`.
    pub nulls: u64,
    /// Fields with nothing in them.
    pub empties: u64,
    /// The least of the values that fit the type: a number, or a text of 64 bytes or less.
    pub min: Option<Value>,
    /// The greatest.
    pub max: Option<Value>,
    /// The characters of the longest field.
    pub longest: u64,
    /// About how many values differ: wrong by 1.6 % or less in two of three cases.
    pub distinct_estimate: u64,
}
