//! YAML as a tree in which everything knows its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// A value, whatever it is.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

/// Line and column, from 1.
pub(super) fn place<T>(spanned: &Spanned<T>) -> (u64, u64) {
    (spanned.referenced.line().max(1), spanned.referenced.column().max(1))
}

/// What a [`Spanned`] node can be asked.
pub(super) trait Tree {
    /// As serde takes it.
    fn value(&self) -> Value;
    /// Where a pointer leads, or the nearest thing above it that is there.
    fn find(&self, pointer: &str) -> &Self;
    /// What lies under a key or an index.
    fn child(&self, step: &str) -> Option<&Self>;
    /// The same, to be changed.
    fn child_mut(&mut self, step: &str) -> Option<&mut Self>;
    /// Takes out what lies under a key or an index. Returns whether there was something, and the key's place.
    fn remove(&mut self, step: &str) -> Option<(u64, u64)>;
}

impl Tree for Spanned<Node> {
    fn value(&self) -> Value {
        match &self.value {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(number) => Value::Number(number.clone()),
            Node::Text(text) => Value::String(text.clone()),
            Node::List(items) => items.iter().map(Tree::value).collect(),
            Node::Map(entries) => {
                entries.iter().map(|(key, value)| (key.value.clone(), value.value())).collect()
            }
        }
    }

    fn find(&self, pointer: &str) -> &Self {
        let mut found = self;
        for step in pointer.split('/').skip(1) {
            let Some(child) = found.child(&step.replace("~1", "/").replace("~0", "~")) else { break };
            found = child;
        }
        found
    }

    fn child(&self, step: &str) -> Option<&Self> {
        match &self.value {
            Node::List(items) => items.get(step.parse::<usize>().ok()?),
            Node::Map(entries) => entries.iter().find(|(key, _)| key.value == step).map(|(_, value)| value),
            _ => None,
        }
    }

    fn child_mut(&mut self, step: &str) -> Option<&mut Self> {
        match &mut self.value {
            Node::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            Node::Map(entries) => {
                entries.iter_mut().find(|(key, _)| key.value == step).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    fn remove(&mut self, step: &str) -> Option<(u64, u64)> {
        match &mut self.value {
            Node::List(items) => {
                let at = step.parse::<usize>().ok().filter(|at| *at < items.len())?;
                Some(place(&items.remove(at)))
            }
            Node::Map(entries) => {
                let at = entries.iter().position(|(key, _)| key.value == step)?;
                Some(place(&entries.remove(at).0))
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}
