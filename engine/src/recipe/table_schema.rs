//! Frictionless Table Schema, as it is written: in a recipe, or in a file of its own.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use super::word::OneOrMany;

/// Where the schema is.
#[derive(Debug, Clone)]
pub enum SchemaWord {
    /// In a file beside the recipe.
    File(String),
    /// Here.
    Here(TableSchema),
}

/// The columns that a file has, and what their values are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSchema {
    /// The columns. Those of a file that are not named here are texts without constraints.
    pub fields: Vec<FieldWord>,
    /// The texts that stand for no value; `['']` if not given.
    #[serde(rename = "missingValues")]
    pub missing_values: Option<Vec<String>>,
    /// The columns whose values together are no other row's.
    #[serde(rename = "primaryKey")]
    pub primary_key: Option<OneOrMany<String>>,
    /// Which version of the specification the schema follows.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// The schema's name.
    pub name: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// A column.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldWord {
    /// Its name in the header.
    pub name: String,
    /// What its values are; `string` if not given.
    #[serde(rename = "type", default)]
    pub kind: TypeWord,
    /// How they are written: `default`; for dates and times a pattern such as `%d/%m/%Y`; for texts `email`, `uri`, `uuid`
    /// or `binary`.
    pub format: Option<String>,
    /// What holds of each of them.
    #[serde(default)]
    pub constraints: Constraints,
    /// The texts that stand for no value, instead of the schema's.
    #[serde(rename = "missingValues")]
    pub missing_values: Option<Vec<String>>,
    /// Texts that mean true; `true`, `True`, `TRUE`, `1` if not given.
    #[serde(rename = "trueValues")]
    pub true_values: Option<Vec<String>>,
    /// Texts that mean false; `false`, `False`, `FALSE`, `0` if not given.
    #[serde(rename = "falseValues")]
    pub false_values: Option<Vec<String>>,
    /// What stands before the decimals of a number; `.` if not given.
    #[serde(rename = "decimalChar")]
    pub decimal_char: Option<String>,
    /// What groups the digits of a number; nothing if not given.
    #[serde(rename = "groupChar")]
    pub group_char: Option<String>,
    /// Whether nothing but the number stands in a number's field; if not, what stands around it is left out.
    #[serde(rename = "bareNumber")]
    pub bare_number: Option<bool>,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub example: Option<Value>,
    /// What the values are, as RDF calls it; for people.
    #[serde(rename = "rdfType")]
    pub rdf_type: Option<String>,
}

/// What a column's values are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TypeWord {
    /// Texts.
    #[default]
    String,
    /// Numbers.
    Number,
    /// Whole numbers.
    Integer,
    /// True or false.
    Boolean,
    /// Days.
    Date,
    /// Times of a day.
    Time,
    /// Days with times.
    DateTime,
    /// Years.
    Year,
    /// Months of years.
    YearMonth,
    /// JSON objects.
    Object,
    /// JSON arrays.
    Array,
    /// Anything.
    Any,
}

impl TypeWord {
    /// As a schema spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "datetime",
            Self::Year => "year",
            Self::YearMonth => "yearmonth",
            Self::Object => "object",
            Self::Array => "array",
            Self::Any => "any",
        }
    }
}

/// What holds of each value of a column.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// Whether there has to be one.
    #[serde(default)]
    pub required: bool,
    /// Whether no two rows have the same. Up to 450,000 values are remembered; a file with more fails.
    #[serde(default)]
    pub unique: bool,
    /// The fewest characters of a text.
    #[serde(rename = "minLength")]
    pub min_length: Option<u64>,
    /// The most characters of a text.
    #[serde(rename = "maxLength")]
    pub max_length: Option<u64>,
    /// The least.
    pub minimum: Option<Value>,
    /// The greatest.
    pub maximum: Option<Value>,
    /// Less than the least.
    #[serde(rename = "exclusiveMinimum")]
    pub exclusive_minimum: Option<Value>,
    /// More than the greatest.
    #[serde(rename = "exclusiveMaximum")]
    pub exclusive_maximum: Option<Value>,
    /// A regular expression that a text matches from its beginning to its end.
    pub pattern: Option<String>,
    /// All values that there are.
    #[serde(rename = "enum")]
    pub values: Option<Vec<Value>>,
}

impl<'de> Deserialize<'de> for SchemaWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SchemaVisitor)
    }
}

struct SchemaVisitor;

impl<'de> Visitor<'de> for SchemaVisitor {
    type Value = SchemaWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema, or the name of a file with one")
    }

    fn visit_str<E: Error>(self, file: &str) -> Result<SchemaWord, E> {
        Ok(SchemaWord::File(file.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SchemaWord, A::Error> {
        TableSchema::deserialize(MapAccessDeserializer::new(map)).map(SchemaWord::Here)
    }
}

impl JsonSchema for SchemaWord {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SchemaWord".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<TableSchema>()] })
    }
}
