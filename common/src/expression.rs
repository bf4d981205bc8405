//! Expressions in CEL, the Common Expression Language: compiled once, evaluated over JSON.
//!
//! None takes long, whatever it says: its text is bounded, and it loops over what it is given, but not within a loop.

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, ExecutionError, Program, Value as CelValue};
use serde_json::Value;

use crate::yaml::nearest;

/// The longest expression, in bytes.
const MAX_BYTES: usize = 4096;

/// The deepest nesting of brackets, and the longest run of operators: the parser's stack is bounded by them.
const MAX_DEPTH: usize = 24;

/// The most operators, dots and brackets: each may lie within the one before, and costs stack when it is evaluated.
const MAX_OPERATORS: usize = 120;

/// Address space, of which only what is needed becomes memory.
const PARSER_STACK_BYTES: usize = 64 << 20;

/// An expression, ready to be evaluated.
pub struct Expression {
    source: String,
    program: Program,
    env: Arc<Env>,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It is too long.
    #[error("the expression has {0} bytes, more than the {MAX_BYTES} that are read")]
    TooLong(usize),
    /// It is too deep.
    #[error("the expression is nested too deeply, or has too many operators: split it")]
    TooDeep,
    /// It is no CEL.
    #[error("not a CEL expression: {message} (character {column})")]
    Syntax {
        /// What the parser says.
        message: String,
        /// Where, from 1.
        column: usize,
    },
    /// It names what it is not given.
    #[error("`{name}` is not known here: {}", advice(.nearest.as_ref(), .known))]
    Unknown {
        /// The name.
        name: String,
        /// The nearest one that is known.
        nearest: Option<String>,
        /// All that are known.
        known: Vec<String>,
    },
    /// It loops within a loop.
    #[error(
        "a loop (`all`, `exists`, `exists_one`, `map`, `filter`) within another is not evaluated: it could take long"
    )]
    NestedLoop,
}

/// Why an expression has no value. It never says one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluationError(String);

fn advice(nearest: Option<&String>, known: &[String]) -> String {
    nearest.map_or_else(
        || {
            format!(
                "known are {}",
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )
        },
        |near| format!("did you mean `{near}`?"),
    )
}

impl Expression {
    /// Compiles an expression that may name these variables.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, CompileError> {
        if source.len() > MAX_BYTES {
            return Err(CompileError::TooLong(source.len()));
        }
        if is_deep(source) {
            return Err(CompileError::TooDeep);
        }
        let env = Arc::new(Env::stdlib());
        let program = parse(&env, source)?;
        let mut bound = Vec::new();
        if loops(program.expression(), &mut bound) > 1 {
            return Err(CompileError::NestedLoop);
        }
        let is_known = |name: &str| {
            variables.contains(&name) || bound.iter().any(|bound| bound == name) || TYPES.contains(&name)
        };
        let references = program.references();
        let mut names = references.variables();
        names.sort_unstable();
        if let Some(name) = names.into_iter().find(|name| !is_known(name)) {
            return Err(CompileError::Unknown {
                name: name.to_owned(),
                nearest: nearest(name, variables.iter().copied()).map(ToOwned::to_owned),
                known: variables.iter().map(|&name| name.to_owned()).collect(),
            });
        }
        Ok(Self { source: source.to_owned(), program, env })
    }

    /// The expression's value, given its variables'.
    pub fn evaluate(&self, variables: &[(&str, &Value)]) -> Result<Value, EvaluationError> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        for (name, value) in variables {
            context.add_variable_from_value(*name, to_cel(value));
        }
        let value = self.program.execute(&context).map_err(|error| EvaluationError(plain(&error)))?;
        value.json().map_err(|_kind| EvaluationError(format!("a {} is no JSON", value.type_of())))
    }

    /// Whether it holds.
    pub fn holds(&self, variables: &[(&str, &Value)]) -> Result<bool, EvaluationError> {
        match self.evaluate(variables)? {
            Value::Bool(holds) => Ok(holds),
            _ => Err(EvaluationError("the expression is neither true nor false".into())),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// What CEL knows of itself.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "dyn"];

/// JSON's whole numbers are ints, so that they can be reckoned with as they are written.
fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => CelValue::Int(integer),
            None => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.clone(), to_cel(value)));
            CelValue::Map(entries.collect::<std::collections::HashMap<_, _>>().into())
        }
    }
}

/// Parses on a stack of its own: the parser takes a dozen calls for each bracket.
fn parse(env: &Env, source: &str) -> Result<Program, CompileError> {
    let syntax = |message: String, column| CompileError::Syntax { message, column };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || env.compile(source))
            .map_err(|error| syntax(format!("no thread to parse it: {error}"), 1))?;
        let parsed = thread.join().map_err(|_panic| syntax("the parser gave up".into(), 1))?;
        parsed.map_err(|errors| {
            let first = errors.errors.first();
            let column = first.map_or(1, |error| usize::try_from(error.pos.1).unwrap_or_default().max(1));
            syntax(first.map_or_else(String::new, |error| error.msg.clone()), column)
        })
    })
}

/// Whether parsing or evaluating it could need more stack than there is. Brackets in texts are counted, too.
fn is_deep(source: &str) -> bool {
    let (mut open, mut deepest) = (0usize, 0);
    let mut operators = source.matches(" in ").count();
    let mut before = b' ';
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
        // `==`, `&&` and `||` are one each.
        let goes_on = matches!(byte, b'=' | b'&' | b'|') && before.is_ascii_punctuation();
        let is_operator = byte.is_ascii_punctuation() && !matches!(byte, b'_' | b'\'' | b'"' | b',');
        operators += usize::from(is_operator && !goes_on);
        before = byte;
    }
    deepest > MAX_DEPTH || operators > MAX_OPERATORS
}

/// How deep loops lie within each other; the variables that they bind are added to `bound`.
fn loops(expression: &IdedExpr, bound: &mut Vec<String>) -> usize {
    let deepest = |parts: Vec<&IdedExpr>, bound: &mut Vec<String>| {
        parts.into_iter().map(|part| loops(part, bound)).max().unwrap_or(0)
    };
    match &expression.expr {
        Expr::Call(call) => deepest(call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(), bound),
        Expr::Comprehension(each) => {
            bound.push(each.iter_var.clone());
            bound.extend(each.iter_var2.clone());
            bound.push(each.accu_var.clone());
            let inside = vec![&each.accu_init, &each.loop_cond, &each.loop_step, &each.result];
            deepest(vec![&each.iter_range], bound).max(1 + deepest(inside, bound))
        }
        Expr::List(list) => deepest(list.elements.iter().collect(), bound),
        Expr::Map(map) => deepest(map.entries.iter().flat_map(|entry| parts(&entry.expr)).collect(), bound),
        Expr::Struct(made) => {
            deepest(made.entries.iter().flat_map(|entry| parts(&entry.expr)).collect(), bound)
        }
        Expr::Select(select) => loops(&select.operand, bound),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => 0,
    }
}

fn parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// What went wrong, without the values that it went wrong with.
fn plain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name) => {
            format!("there is no `{name}`")
        }
        ExecutionError::NoSuchOverload(_) => error.to_string(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero".into(),
        ExecutionError::Overflow(..) => "a number becomes too large".into(),
        ExecutionError::IndexOutOfBounds(_) => "an index lies outside its list".into(),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` can't take what it is given"),
        ExecutionError::UnexpectedType { got, want } => format!("a {got} stands where a {want} is wanted"),
        ExecutionError::ValuesNotComparable(..) => "two values of different types are compared".into(),
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => {
            format!("`{operator}` can't take what it is given")
        }
        _ => "a function or an operator can't take what it is given".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(source: &str) -> Result<Value, String> {
        let receipt = json!({"counts": {"rows_in": 200, "rows_rejected": 3}, "status": "processed", "tags": ["a", "b"]});
        let expression = Expression::compile(source, &["receipt"]).map_err(|error| error.to_string())?;
        expression.evaluate(&[("receipt", &receipt)]).map_err(|error| error.to_string())
    }

    #[test]
    fn expressions_reckon_with_json() {
        for (source, expected) in [
            ("receipt.counts.rows_rejected * 100 > receipt.counts.rows_in", json!(true)),
            ("receipt.status == 'processed' && 'a' in receipt.tags", json!(true)),
            ("receipt.tags.exists(tag, tag.startsWith('b'))", json!(true)),
            ("receipt.tags.map(tag, tag + '!')", json!(["a!", "b!"])),
            ("has(receipt.error)", json!(false)),
            ("double(receipt.counts.rows_rejected) / 2.0", json!(1.5)),
            ("size(receipt.tags)", json!(2)),
            ("string(receipt.counts.rows_in)", json!("200")),
        ] {
            assert_eq!(value(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_can_not_be_evaluated_is_refused_before_it_is() {
        assert!(value("receipt.status ==").unwrap_err().starts_with("not a CEL expression: "));
        assert_eq!(
            value("reciept.status == 'x'").unwrap_err(),
            "`reciept` is not known here: did you mean `receipt`?"
        );
        assert_eq!(value("x > 1").unwrap_err(), "`x` is not known here: known are `receipt`");
        assert!(value("receipt.tags.all(a, receipt.tags.all(b, a == b))").unwrap_err().starts_with("a loop"));
        assert!(value(&format!("'{}' == ''", "x".repeat(5000))).unwrap_err().contains("more than"));
    }

    #[test]
    fn no_expression_overflows_the_stack() {
        let text = |front: &str, one: &str, back: &str, times: usize| {
            format!("{}{}{}", front.repeat(times), one, back.repeat(times))
        };
        for times in [20, 60, 119, 120, 1000, 2000] {
            for source in [
                text("(", "1", ")", times),
                text("[", "1", "]", times),
                text("{1:", "1", "}", times),
                text("!", "true", "", times),
                text("-", "1", "", times),
                text("- ", "1", "", times),
                text("", "1", "+1", times),
                text("", "true", "&&true", times),
                text("true?1:", "1", "", times),
                text("", "receipt", ".a", times),
                text("", "receipt", "[0]", times),
                text("size(", "1", ")", times),
                text("", "1", " in 1", times),
            ] {
                // On as little stack as a worker of tokio's has; without optimisation every call needs many times as much.
                let stack_bytes = if cfg!(debug_assertions) { 16 << 20 } else { 2 << 20 };
                std::thread::Builder::new()
                    .stack_size(stack_bytes)
                    .spawn(move || _ = value(&source))
                    .unwrap()
                    .join()
                    .unwrap();
            }
        }
    }

    #[test]
    fn an_error_says_no_value() {
        for source in [
            "receipt.status + 1",
            "receipt.nothing",
            "1 / (receipt.counts.rows_in - 200)",
            "int(receipt.status)",
        ] {
            let error = value(source).unwrap_err();
            assert!(!error.contains("processed") && !error.contains("200"), "{error}");
        }
        let expression = Expression::compile("receipt", &["receipt"]).unwrap();
        assert!(expression.holds(&[("receipt", &json!("yes"))]).is_err());
    }
}
