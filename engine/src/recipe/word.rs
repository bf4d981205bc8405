//! What a recipe's values are written as: a text or a number with a meaning, one thing or a list of them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use encoding_rs::Encoding;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::dialect::{Comment, Escape, Quote};
use crate::policy::MaxRejects;
use crate::words;

/// Something that people write as one word.
pub(crate) trait Word: Sized {
    /// What the JSON Schema says of it.
    const DESCRIBED: &'static str;

    /// Reads it.
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! word {
    ($(#[$about:meta])* $name:ident($inner:ty), $read:path, $described:literal) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(pub $inner);

        impl Word for $name {
            const DESCRIBED: &'static str = $described;

            fn read(text: &str) -> Result<Self, String> {
                $read(text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(WordVisitor(PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "integer"], "description": Self::DESCRIBED })
            }
        }
    };
}

word!(
    /// What stands between fields.
    DelimiterWord(Vec<u8>), words::delimiter,
    "One character or more, such as `;`, `\\t`, `\\x01` or `, `."
);
word!(
    /// What stands around fields.
    QuoteWord(Quote), words::quote,
    "One character, or `none` where quotes mean nothing."
);
word!(
    /// How a quote stands inside quotes.
    EscapeWord(Escape), words::escape,
    "`doubled`, `none`, `backslash`, or the character it stands behind."
);
word!(
    /// The encoding.
    EncodingWord(&'static Encoding), words::encoding,
    "An encoding, such as `utf-8`, `utf-16le` or `windows-1252`."
);
word!(
    /// What begins a comment.
    CommentWord(Comment), words::comment,
    "What begins a line that is a comment, or `none`."
);
word!(
    /// The most rejects.
    MaxRejectsWord(MaxRejects), words::max_rejects,
    "A number of rows, or a share of them such as `0.5%`."
);
word!(
    /// The longest record.
    SizeWord(usize), words::max_record_bytes,
    "A number of bytes, or a size such as `16MiB`."
);

struct WordVisitor<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(|why| E::custom(format!("{text:?} can't be: {why}")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// One thing, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(OneOrMany(vec![T::deserialize(StrDeserializer::new(text))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMany)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
    }
}
