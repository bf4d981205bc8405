//! A tree into a type. serde stops at the first fault: what is at fault is taken out, and the rest decoded again, so that
//! all of them are told.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use serde_saphyr::Spanned;

use super::nearest;
use super::node::{Node, Tree, place};
use super::{Fault, Faults};

/// The most faults that are told at once.
const MAX_FAULTS: usize = 50;

/// `closed` says whether a key that is not known is a fault.
pub(super) fn decode<T: DeserializeOwned>(
    file: &str,
    root: &Spanned<Node>,
    closed: bool,
) -> Result<T, Faults> {
    let mut tree = root.clone();
    let mut faults = Vec::new();
    // Keys that were taken out: that they are missing then is no fault.
    let mut taken = HashSet::new();
    for _ in 0..=10 * MAX_FAULTS {
        let error = match serde_path_to_error::deserialize(tree.value()) {
            Ok(value) if faults.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => error,
        };
        let mut steps = steps(error.path());
        let message = error.inner().to_string();
        if let Some(key) = quoted(&message).filter(|_| message.starts_with("missing field")) {
            let above = place(at(&tree, &steps));
            if !taken.contains(&(above, key.to_owned())) {
                let message = format!("`{key}` is missing");
                faults.push(Fault { file: file.to_owned(), line: above.0, column: above.1, message });
            }
        } else {
            if let Some(key) = quoted(&message).filter(|_| message.starts_with("unknown field"))
                && steps.last().map(String::as_str) != Some(key)
            {
                steps.push(key.to_owned());
            }
            let name = steps.last().cloned().unwrap_or_default();
            let is_key = message.starts_with("unknown field");
            let value_at = place(at(&tree, &steps));
            let key_at = key_place(&tree, &steps).filter(|_| is_key);
            let (line, column) = key_at.unwrap_or(value_at);
            // What was misspelt is not missing as well.
            if let Some(meant) = nearest(&name, known(&message)).filter(|_| is_key) {
                taken.insert((place(at(&tree, &steps[..steps.len() - 1])), meant.to_owned()));
            }
            let message = told(&message, &name);
            if closed || !is_key {
                faults.push(Fault { file: file.to_owned(), line, column, message });
            }
        }
        let Some(step) = steps.pop() else { break };
        let Some(above) = above_mut(&mut tree, &steps) else { break };
        taken.insert((place(above), step.clone()));
        if above.remove(&step).is_none() || faults.len() >= MAX_FAULTS {
            break;
        }
    }
    faults.sort();
    faults.dedup();
    Err(Faults(faults))
}

fn steps(path: &Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            // What serde makes of an enum's name is no step in the tree, and neither is what it does not know.
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn at<'a>(tree: &'a Spanned<Node>, steps: &[String]) -> &'a Spanned<Node> {
    steps.iter().fold(tree, |node, step| node.child(step).unwrap_or(node))
}

fn above_mut<'a>(tree: &'a mut Spanned<Node>, steps: &[String]) -> Option<&'a mut Spanned<Node>> {
    steps.iter().try_fold(tree, |node, step| node.child_mut(step))
}

/// Where the last step's key stands.
fn key_place(tree: &Spanned<Node>, steps: &[String]) -> Option<(u64, u64)> {
    let (last, above) = steps.split_last()?;
    match &at(tree, above).value {
        Node::Map(entries) => entries.iter().find(|(key, _)| key.value == *last).map(|(key, _)| place(key)),
        _ => None,
    }
}

/// The first text in backticks.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// The names that serde says it knows.
fn known(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(3).step_by(2)
}

/// serde's message as we put it, with what to do.
fn told(message: &str, name: &str) -> String {
    let advice = |word: &str| {
        if let Some(near) = nearest(word, known(message)) {
            return format!("did you mean `{near}`?");
        }
        let known: Vec<String> = known(message).map(|name| format!("`{name}`")).collect();
        format!("known are {}", known.join(", "))
    };
    if message.starts_with("unknown field") {
        return format!("unknown key `{name}`: {}", advice(name));
    }
    let at = if name.is_empty() { String::new() } else { format!("`{name}`") };
    if let Some(word) = quoted(message).filter(|_| message.starts_with("unknown variant")) {
        return format!("{at} can't be `{word}`: {}", advice(word));
    }
    let mut message = if let Some((front, _)) = message.split_once("expected struct ") {
        format!("{front}expected keys and their values")
    } else {
        message.to_owned()
    };
    let wanted = message.rsplit(' ').next().unwrap_or_default();
    if matches!(wanted, "u8" | "u16" | "u32" | "u64" | "usize" | "i64") {
        message = format!("{} a whole number", &message[..message.len() - wanted.len() - 1]);
    }
    let is_scalar = ["integer", "floating point", "boolean"]
        .iter()
        .any(|kind| message.starts_with(&format!("invalid type: {kind}")));
    if is_scalar && message.ends_with("expected a string") {
        message.push_str(": put it in quotes");
    }
    if at.is_empty() { message } else { format!("{at}: {message}") }
}
