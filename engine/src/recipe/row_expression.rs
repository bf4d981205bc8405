//! Expressions in CEL over a row's columns: compiled once a recipe.
//!
//! There are no loops, and the text is bounded, so an expression costs no more than its length says.

use std::sync::Arc;

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Program, Value as CelValue};

use super::value::Value;

/// The longest expression, in bytes.
const MAX_BYTES: usize = 1024;

/// The deepest nesting of brackets, and the most operators: stack is bounded by them.
const MAX_DEPTH: usize = 24;
const MAX_OPERATORS: usize = 120;

/// Address space for the parser, which takes a dozen calls for each bracket; only what is needed becomes memory.
const PARSER_STACK_BYTES: usize = 64 << 20;

/// What CEL knows of itself.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "dyn"];

/// An expression, ready for rows.
#[derive(Clone)]
pub(super) struct RowExpression {
    program: Arc<Program>,
    env: Arc<Env>,
    /// The columns that it names.
    pub(super) columns: Vec<String>,
}

impl std::fmt::Debug for RowExpression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RowExpression").field(&self.columns).finish()
    }
}

impl RowExpression {
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        if source.len() > MAX_BYTES {
            return Err(format!("the expression has {} bytes, more than {MAX_BYTES}", source.len()));
        }
        if is_deep(source) {
            return Err(
                "the expression is nested too deeply, or has too many operators: derive a part of it".into(),
            );
        }
        // Without macros, so without loops.
        let env = Arc::new(Env::default().with_stdlib());
        let program = parse(&env, source)?;
        let references = program.references();
        let used: Vec<&str> = references.functions();
        if let Some(name) = used.into_iter().find(|name| !is_known(name)) {
            return Err(format!("there is no function `{name}`"));
        }
        let mut columns: Vec<String> = references.variables().into_iter().map(ToOwned::to_owned).collect();
        columns.retain(|name| !TYPES.contains(&name.as_str()));
        columns.sort();
        drop(references);
        Ok(Self { program: Arc::new(program), env, columns })
    }

    /// The expression's value for a row; what went wrong without the values that it went wrong with.
    pub(super) fn evaluate(&self, row: &dyn VariableResolver) -> Result<CelValue, String> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(row);
        self.program.execute(&context).map_err(|error| plain(&error))
    }
}

/// A value as CEL has it.
pub(super) fn to_cel<'a>(
    value: &Value,
    text: &'a [u8],
    canonical: impl FnOnce() -> String,
) -> CowVal<'a, 'a> {
    match value {
        Value::Missing => CowVal::owned(CelNull),
        Value::Text => CowVal::owned(CelString::from(str::from_utf8(text).unwrap_or_default())),
        Value::Integer(number) => match i64::try_from(*number) {
            Ok(number) => CowVal::owned(CelInt::from(number)),
            Err(_too_large) => CowVal::owned(CelDouble::from(*number as f64)),
        },
        Value::Number(number) => CowVal::owned(CelDouble::from(*number)),
        Value::Boolean(value) => CowVal::owned(CelBool::from(*value)),
        Value::Year(year) => CowVal::owned(CelInt::from(i64::from(*year))),
        // Texts that compare as what they stand for does.
        Value::Date(_) | Value::Time(..) | Value::DateTime(..) | Value::YearMonth(..) => {
            CowVal::owned(CelString::from(canonical()))
        }
    }
}

/// Whether CEL has a function or an operator of this name.
fn is_known(name: &str) -> bool {
    let known = [
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "string",
        "int",
        "uint",
        "double",
        "bool",
        "bytes",
        "type",
        "dyn",
    ];
    !name.chars().all(|letter| letter.is_ascii_alphanumeric()) || known.contains(&name)
}

fn parse(env: &Env, source: &str) -> Result<Program, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || env.compile(source))
            .map_err(|error| format!("no thread to parse the expression: {error}"))?;
        let parsed = thread.join().map_err(|_panic| "the parser gave up on the expression".to_owned())?;
        parsed.map_err(|errors| match errors.errors.first() {
            Some(error) => format!("not a CEL expression: {} (character {})", error.msg, error.pos.1.max(1)),
            None => "not a CEL expression".into(),
        })
    })
}

/// Brackets in texts are counted, too.
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

fn plain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name) => {
            format!("there is no `{name}`")
        }
        ExecutionError::NoSuchOverload(_) => error.to_string(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero".into(),
        ExecutionError::Overflow(..) => "a number becomes too large".into(),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` can't take what it is given"),
        ExecutionError::UnexpectedType { got, want } => format!("a {got} stands where a {want} is wanted"),
        ExecutionError::ValuesNotComparable(..) => "two values of different types are compared".into(),
        _ => "a function or an operator can't take what it is given".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(&'static str, Value, &'static [u8]);

    impl VariableResolver for One {
        fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
            (variable == self.0).then(|| to_cel(&self.1, self.2, || "2026-11-25".into()))
        }
    }

    fn value(source: &str, row: &One) -> Result<CelValue, String> {
        RowExpression::compile(source)?.evaluate(row)
    }

    #[test]
    fn expressions_see_values_of_their_types() {
        let number = One("x", Value::Number(2.5), b"2,5");
        assert_eq!(value("x * 2.0 + 1.0", &number), Ok(CelValue::Float(6.0)));
        let text = One("x", Value::Text, b"abc");
        assert_eq!(value("x.startsWith('a') && size(x) == 3", &text), Ok(CelValue::Bool(true)));
        assert_eq!(value("x + '!'", &text), Ok(CelValue::from("abc!")));
        let missing = One("x", Value::Missing, b"");
        assert_eq!(value("x == null ? 'none' : x", &missing), Ok(CelValue::from("none")));
        let day = One("x", Value::Year(2026), b"2026");
        assert_eq!(value("x > 2000", &day), Ok(CelValue::Bool(true)));
    }

    #[test]
    fn what_fails_says_no_value() {
        let text = One("x", Value::Text, b"secret");
        for source in ["x + 1", "int(x)", "1 / (size(x) - 6)", "x > 1"] {
            let error = value(source, &text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for source in
            ["x +", "[1].all(y, y > 0)", "sizes(x)", "((((((((((((((((((((((((((x))))))))))))))))))))))))))"]
        {
            assert!(RowExpression::compile(source).is_err(), "{source}");
        }
        assert!(RowExpression::compile(&"x + ".repeat(500)).is_err());
        assert_eq!(RowExpression::compile("a + b > 1 && int(c) == 2").unwrap().columns, ["a", "b", "c"]);
    }
}
