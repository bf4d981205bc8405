//! A recipe's work on the rows of one file.

use std::sync::Arc;

use cel::Value as CelValue;
use cel::common::value::CowVal;
use cel::context::VariableResolver;

use super::check::{Checker, Violation, lacks};
use super::file::OnViolation;
use super::form::{Form, JsonType, json_key};
use super::kind::Kind;
use super::mask::{MaskKey, MaskWord};
use super::parquet::ParquetFile;
use super::partitions::{Partitions, append_name, append_value};
use super::row_expression::{RowExpression, to_cel};
use super::value::Value;
use super::work::{Cast, Work};
use crate::fields::Fields;
use crate::outputs::Outputs;
use crate::profile::Profile;
use crate::write::is_formula;
use crate::{BadFile, Compression, EngineError, Options, Reason};

/// What becomes of a row.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// It is in the output now. Perhaps it violates the schema, and was to be counted only.
    Kept(Option<Reason>),
    /// It is set aside.
    Rejected(Violation<'a>),
    /// The recipe's filter leaves it out.
    Filtered,
    /// The file fails because of it.
    Fails(Violation<'a>),
}

/// What is to become of a row.
enum Judged<'a> {
    Kept(Option<Reason>),
    Filtered,
    Violates(Violation<'a>),
    /// An expression failed: the column's, or the filter.
    Failed(Option<&'a str>),
    /// The output has no room for what a column holds.
    Misfits(usize, &'static str),
}

/// The work on one file.
#[derive(Debug)]
pub(crate) struct Session {
    work: Arc<Work>,
    key: Option<MaskKey>,
    neutralizes: bool,
    checker: Checker,
    columns: Vec<Column>,
    /// The expressions' columns: where each is among `columns`.
    derive: Vec<Vec<usize>>,
    filter: Vec<usize>,
    /// What the expressions gave in the row that is being looked at.
    derived: Fields,
    derived_values: Vec<Value>,
    /// Why an expression failed.
    message: String,
    buffers: Buffers,
    row: Vec<u8>,
    /// What the output's columns hold, where that was asked for.
    profile: Option<Profile>,
    output: Output,
}

/// Where kept rows go.
#[derive(Debug)]
enum Output {
    /// One behind the other, as text.
    Text,
    /// Into one file of Parquet.
    Parquet(Box<ParquetFile>),
    /// By what they have in the columns that are given a `%`-escaped name here.
    Partitioned { by: Vec<(usize, String)>, partitions: Box<Partitions>, path: String, place: usize },
}

/// What a field is written to before it is shown.
#[derive(Debug, Default)]
struct Buffers {
    written: Vec<u8>,
    masked: Vec<u8>,
    scratch: Vec<u8>,
}

/// A column's field as the output has it.
struct Shown<'a> {
    text: &'a [u8],
    value: Value,
    json: JsonType,
}

/// A column of the output.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    json_key: Vec<u8>,
    source: Source,
    /// Where it is in the schema.
    rule: Option<usize>,
    /// Whether it is written in the one form of its type.
    cast: bool,
    mask: Option<MaskWord>,
    /// Which of the columns it is that are written; nothing if its value is its partition's.
    place: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Field(usize),
    Derived(usize),
}

impl Session {
    /// Begins with a file that has these columns.
    pub(crate) fn begin(
        work: Arc<Work>,
        names: &[Vec<u8>],
        compression: Compression,
        options: &Options,
    ) -> Result<Self, EngineError> {
        let checker = Checker::new(&work.schema, names)?;
        let mut columns = chosen(&work, names)?;
        let mut derive = Vec::new();
        for (at, new) in work.derive.iter().enumerate() {
            derive.push(places(&new.expression, &columns)?);
            columns.push(Column::new(new.name.clone(), Source::Derived(at)));
        }
        let filter =
            work.filter.as_ref().map_or_else(|| Ok(Vec::new()), |filter| places(filter, &columns))?;
        let place = |name: &String| {
            columns.iter().position(|column| column.name == *name).ok_or_else(|| lacks(&[name]))
        };
        let masks: Result<Vec<_>, _> =
            work.mask.iter().map(|(name, mask)| Ok::<_, BadFile>((place(name)?, *mask))).collect();
        let casts: Vec<usize> = match &work.cast {
            Cast::None => Vec::new(),
            Cast::All => (0..columns.len()).collect(),
            Cast::Columns(names) => names.iter().map(place).collect::<Result<_, BadFile>>()?,
        };
        let by: Vec<usize> = work.partition_by.iter().map(place).collect::<Result<_, BadFile>>()?;
        for at in casts {
            columns[at].cast = columns[at].rule.is_some();
        }
        for (at, mask) in masks? {
            columns[at].mask = Some(mask);
        }
        if let Some(twin) = columns
            .iter()
            .enumerate()
            .find(|(at, column)| columns[..*at].iter().any(|other| other.name == column.name))
        {
            let message =
                format!("two columns would be called `{}`: rename or drop one of them", twin.1.name);
            return Err(BadFile::new("duplicate_column", message).into());
        }
        let written = (0..columns.len()).filter(|at| !by.contains(at)).collect::<Vec<_>>();
        if written.is_empty() {
            let message =
                "the output is partitioned by every column that it has, and none is left for its objects";
            return Err(BadFile::new("no_columns", message).into());
        }
        for (place, at) in written.into_iter().enumerate() {
            columns[at].place = Some(place);
        }
        let mut session = Self {
            derived_values: vec![Value::Missing; work.derive.len()],
            work,
            key: options.mask_key.clone(),
            neutralizes: options.policies.neutralize_formulas,
            checker,
            columns,
            derive,
            filter,
            derived: Fields::default(),
            message: String::new(),
            buffers: Buffers::default(),
            row: Vec::new(),
            profile: None,
            output: Output::Text,
        };
        session.output = session.open(&by, compression, options)?;
        Ok(session)
    }

    fn open(
        &mut self,
        by: &[usize],
        compression: Compression,
        options: &Options,
    ) -> Result<Output, EngineError> {
        let file = match self.work.form {
            Form::Parquet(compression) => {
                let written = self.columns.iter().filter(|column| column.place.is_some());
                let kinds = written.map(|column| (column.name.as_str(), column.kind(&self.work)));
                Some(ParquetFile::begin(kinds, compression, options.row_group_bytes)?)
            }
            _ => None,
        };
        if by.is_empty() {
            return Ok(file.map_or(Output::Text, |file| Output::Parquet(Box::new(file))));
        }
        let partitions = match file {
            Some(file) => Partitions::of_parquet(file, options.partitions),
            None => Partitions::of_text(self.header(), compression, options.partitions)?,
        };
        let escaped = |at: &usize| {
            let mut name = String::new();
            append_name(&self.columns[*at].name, &mut name);
            (*at, name)
        };
        let by = by.iter().map(escaped).collect();
        Ok(Output::Partitioned { by, partitions: Box::new(partitions), path: String::new(), place: 0 })
    }

    /// Has the columns profiled, as they are written.
    pub(crate) fn profile(&mut self) {
        self.profile = Some(Profile::of_columns(self.columns.iter().map(|column| column.name.clone())));
    }

    /// What was seen of the columns.
    pub(crate) fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }

    /// Writes what the output begins with: the columns' names, if it has them and is one.
    pub(crate) fn begin_output(&mut self, out: &mut Outputs) {
        if matches!(self.output, Output::Text) {
            out.text.extend_from_slice(self.header());
        }
    }

    /// The columns' names, written as the output has them; nothing if it has none.
    fn header(&mut self) -> &[u8] {
        self.row.clear();
        if self.work.form.has_header() {
            for column in &self.columns {
                let Some(place) = column.place else { continue };
                let name = column.name.as_bytes();
                self.work.form.field(place == 0, b"", name, JsonType::Text, &mut self.row);
            }
            self.work.form.end(0, &mut self.row);
        }
        &self.row
    }

    /// Hands on the row that [`Self::take`] kept, written as the output has it.
    pub(crate) fn hand_on(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        match &mut self.output {
            Output::Text => out.text.extend_from_slice(&self.row),
            Output::Parquet(file) => file.advance()?.into_iter().for_each(|bytes| out.append(bytes)),
            Output::Partitioned { partitions, place, .. } => {
                partitions.take(*place, &self.row, &mut out.partitioned)?;
            }
        }
        Ok(())
    }

    /// Hands on what ends the output, or the next of its objects. Returns whether there may be more.
    pub(crate) fn end(&mut self, out: &mut Outputs) -> Result<bool, EngineError> {
        match &mut self.output {
            Output::Text => Ok(false),
            Output::Parquet(file) => {
                out.append(file.finish()?);
                Ok(false)
            }
            Output::Partitioned { partitions, .. } => partitions.finish_one(&mut out.partitioned),
        }
    }

    /// Takes a row. `work` is the session's own, held by the caller, so that what is said of a row lives as long as it.
    pub(crate) fn take<'a>(
        &'a mut self,
        work: &'a Work,
        fields: &Fields,
    ) -> Result<Verdict<'a>, EngineError> {
        let mut judged = self.judge(work, fields)?;
        if matches!(judged, Judged::Kept(_)) && !self.find_place(fields)? {
            judged = Judged::Violates(Violation {
                column: work
                    .partition_by
                    .first()
                    .filter(|_| work.partition_by.len() == 1)
                    .map(String::as_str),
                reason: Reason::PartitionTooLong,
                message: "what the row is partitioned by is too long for an object's key, or for a folder's name",
            });
        }
        Ok(match judged {
            Judged::Kept(warned) => {
                self.write(fields);
                Verdict::Kept(warned)
            }
            Judged::Filtered => Verdict::Filtered,
            Judged::Violates(violation) if work.on_violation == OnViolation::Fail => {
                Verdict::Fails(violation)
            }
            Judged::Violates(violation) => Verdict::Rejected(violation),
            Judged::Failed(column) => {
                Verdict::Rejected(Violation { column, reason: Reason::Expression, message: &self.message })
            }
            Judged::Misfits(at, message) => {
                let column = Some(self.columns[at].name.as_str());
                let violation = Violation { column, reason: Reason::WrongType, message };
                match work.on_violation {
                    OnViolation::Fail => Verdict::Fails(violation),
                    _ => Verdict::Rejected(violation),
                }
            }
        })
    }

    fn judge<'a>(&mut self, work: &'a Work, fields: &Fields) -> Result<Judged<'a>, BadFile> {
        let violation = self.checker.look(&work.schema, fields)?;
        if let Some(violation) = violation
            && work.on_violation != OnViolation::Warn
        {
            return Ok(Judged::Violates(violation));
        }
        self.derived.clear();
        for (at, new) in work.derive.iter().enumerate() {
            let value = self.evaluate(&new.expression, &self.derive[at], fields);
            if let Err(message) = value.and_then(|value| self.derive_as(at, value, new.kind.as_ref())) {
                self.message = format!("the expression of `{}` fails: {message}", new.name);
                return Ok(Judged::Failed(Some(&new.name)));
            }
        }
        if let Some(filter) = &work.filter {
            match self.evaluate(filter, &self.filter, fields) {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => return Ok(Judged::Filtered),
                Ok(_) => {
                    "the filter is neither true nor false".clone_into(&mut self.message);
                    return Ok(Judged::Failed(None));
                }
                Err(message) => {
                    self.message = format!("the filter fails: {message}");
                    return Ok(Judged::Failed(None));
                }
            }
        }
        Ok(self.misfit(fields).unwrap_or(Judged::Kept(violation.map(|violation| violation.reason))))
    }

    /// A column of a row for which the output has no room.
    fn misfit(&self, fields: &Fields) -> Option<Judged<'static>> {
        let file = match &self.output {
            Output::Text => None,
            Output::Parquet(file) => Some(&**file),
            Output::Partitioned { partitions, .. } => partitions.any_file(),
        }?;
        self.columns.iter().enumerate().filter(|(_, column)| column.mask.is_none()).find_map(
            |(at, column)| {
                let (_, value, _) = self.column(column, fields);
                file.misfit(column.place?, &value).map(|message| Judged::Misfits(at, message))
            },
        )
    }

    /// Finds a kept row's partition, where there are any. Returns whether its path has room in a key.
    fn find_place(&mut self, fields: &Fields) -> Result<bool, EngineError> {
        if !matches!(self.output, Output::Partitioned { .. }) {
            return Ok(true);
        }
        let mut output = std::mem::replace(&mut self.output, Output::Text);
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut found = Ok(true);
        if let Output::Partitioned { by, partitions, path, place } = &mut output {
            path.clear();
            for (at, name) in by {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(name);
                let shown = self.show(*at, true, fields, &mut buffers);
                let text = (shown.json != JsonType::Null).then(|| String::from_utf8_lossy(shown.text));
                append_value(text.as_deref(), path);
            }
            found = if partitions.has_room(path) {
                partitions.place(path).map(|at| {
                    *place = at;
                    true
                })
            } else {
                Ok(false)
            };
        }
        (self.output, self.buffers) = (output, buffers);
        found
    }

    fn evaluate(
        &self,
        expression: &RowExpression,
        places: &[usize],
        fields: &Fields,
    ) -> Result<CelValue, String> {
        expression.evaluate(&Row { session: self, names: &expression.columns, places, fields })
    }

    /// Takes an expression's value as the field of a derived column.
    fn derive_as(&mut self, at: usize, value: CelValue, kind: Option<&Kind>) -> Result<(), String> {
        use std::io::Write as _;
        self.buffers.written.clear();
        let (value, written) = match value {
            CelValue::Null => (Value::Missing, Ok(())),
            CelValue::Bool(value) => (Value::Boolean(value), write!(self.buffers.written, "{value}")),
            CelValue::Int(number) => {
                (Value::Integer(number.into()), write!(self.buffers.written, "{number}"))
            }
            CelValue::UInt(number) => {
                (Value::Integer(number.into()), write!(self.buffers.written, "{number}"))
            }
            CelValue::Float(number) if number.is_finite() => {
                (Value::Number(number), write!(self.buffers.written, "{number}"))
            }
            CelValue::Float(_) => return Err("its value is no number that can be written".into()),
            CelValue::String(text) => {
                self.buffers.written.extend_from_slice(text.as_bytes());
                (Value::Text, Ok(()))
            }
            other => return Err(format!("a {} can't be a field", other.type_of())),
        };
        written.map_err(|error| error.to_string())?;
        self.derived_values[at] = match kind.filter(|_| value != Value::Missing) {
            None => value,
            Some(kind) => {
                let read = kind.read(&self.buffers.written, &mut self.buffers.scratch);
                read.ok_or("its value is not of the type that the column has")?
            }
        };
        self.derived.push(&self.buffers.written);
        Ok(())
    }

    /// A column's text, its value, and how it is read.
    fn column<'a>(&'a self, column: &Column, fields: &'a Fields) -> (&'a [u8], Value, Option<&'a Kind>) {
        match (column.source, column.rule) {
            (Source::Derived(at), _) => {
                (self.derived.get(at), self.derived_values[at], self.work.derive[at].kind.as_ref())
            }
            (Source::Field(at), None) => (fields.get(at), Value::Text, None),
            (Source::Field(at), Some(rule)) => {
                let (text, known) = (fields.get(at), &self.work.schema.columns[rule]);
                let value = self.checker.values[rule];
                // What is only counted stays as it is.
                let is_wrong = value == Value::Missing && !known.is_missing(text);
                (text, if is_wrong { Value::Text } else { value }, Some(&known.kind))
            }
        }
    }

    fn write(&mut self, fields: &Fields) {
        let mut row = std::mem::take(&mut self.row);
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut profile = self.profile.take();
        let mut output = std::mem::replace(&mut self.output, Output::Text);
        let mut file = match &mut output {
            Output::Text => None,
            Output::Parquet(file) => Some(&mut **file),
            Output::Partitioned { partitions, place, .. } => partitions.file(*place),
        };
        row.clear();
        for (at, column) in self.columns.iter().enumerate() {
            let is_text = match (&file, column.place) {
                (Some(file), Some(place)) => file.is_text(place),
                _ => column.place.is_none(),
            };
            let shown = self.show(at, is_text, fields, &mut buffers);
            if let Some(place) = column.place {
                match &mut file {
                    None => {
                        self.work.form.field(place == 0, &column.json_key, shown.text, shown.json, &mut row);
                    }
                    Some(file) => {
                        file.push(
                            place,
                            (shown.json != JsonType::Null).then_some((&shown.value, shown.text)),
                        );
                    }
                }
            }
            if let Some(profile) = &mut profile {
                profile.observe(at, shown.text);
            }
        }
        self.work.form.end(0, &mut row);
        (self.profile, self.output) = (profile, output);
        (self.row, self.buffers) = (row, buffers);
    }

    /// A column's field as the output has it. `is_text`: where it goes there are texts alone, so it is written in the one
    /// form of its type.
    fn show<'a>(
        &'a self,
        at: usize,
        is_text: bool,
        fields: &'a Fields,
        Buffers { written, masked, scratch }: &'a mut Buffers,
    ) -> Shown<'a> {
        let column = &self.columns[at];
        let (text, value, kind) = self.column(column, fields);
        let is_scalar = matches!(value, Value::Integer(_) | Value::Number(_) | Value::Boolean(_));
        let is_canonical = match self.work.form {
            Form::Separated { .. } => column.cast,
            Form::Ndjson => column.cast || is_scalar,
            Form::Parquet(_) => column.cast || is_text,
        };
        let mut shown = text;
        if let Some(kind) = kind.filter(|_| is_canonical) {
            written.clear();
            if value != Value::Text || kind.is_text() {
                kind.write(&value, text, scratch, written);
            } else {
                written.extend_from_slice(text);
            }
            shown = written;
        }
        let mut json = match value {
            Value::Missing => JsonType::Null,
            Value::Integer(_) | Value::Boolean(_) => JsonType::Bare,
            Value::Number(number) if number.is_finite() => JsonType::Bare,
            _ => JsonType::Text,
        };
        if let Some(mask) = column.mask {
            masked.clear();
            // No value is none, however it is written.
            let text = if value == Value::Missing { b"" } else { shown };
            mask.write(text, self.key.as_ref(), masked);
            shown = masked;
            json = if shown.is_empty() && value == Value::Missing { JsonType::Null } else { JsonType::Text };
        }
        if self.neutralizes && is_formula(shown) && json == JsonType::Text {
            scratch.clear();
            scratch.push(b'\'');
            scratch.extend_from_slice(shown);
            shown = scratch;
        }
        Shown { text: shown, value, json }
    }
}

impl Column {
    fn new(name: String, source: Source) -> Self {
        Self { json_key: json_key(&name), name, source, rule: None, cast: false, mask: None, place: None }
    }

    /// What its values are in the output, where that is known.
    fn kind<'a>(&self, work: &'a Work) -> Option<&'a Kind> {
        match self.source {
            // What stands for a value is a text.
            _ if self.mask.is_some() => None,
            Source::Derived(at) => work.derive[at].kind.as_ref(),
            Source::Field(_) => self.rule.map(|rule| &work.schema.columns[rule].kind),
        }
    }
}

/// The file's columns that are kept, under their new names.
fn chosen(work: &Work, names: &[Vec<u8>]) -> Result<Vec<Column>, BadFile> {
    let file: Vec<String> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let place = |name: &String| file.iter().position(|known| known == name);
    let wanted = work.select.iter().flatten().chain(&work.drop).chain(work.rename.keys());
    let lacking: Vec<&str> = wanted.filter(|name| place(name).is_none()).map(String::as_str).collect();
    if !lacking.is_empty() {
        return Err(lacks(&lacking));
    }
    let kept: Vec<usize> = match &work.select {
        Some(names) => names.iter().filter_map(place).collect(),
        None => (0..file.len()).collect(),
    };
    let kept = kept.into_iter().filter(|at| !work.drop.contains(&file[*at]));
    let columns: Vec<Column> = kept
        .map(|at| {
            let name = work.rename.get(&file[at]).unwrap_or(&file[at]).clone();
            let rule = work.schema.columns.iter().position(|column| column.name == file[at]);
            Column { rule, ..Column::new(name, Source::Field(at)) }
        })
        .collect();
    if columns.is_empty() && work.derive.is_empty() {
        return Err(BadFile::new("no_columns", "the recipe leaves no column of the file"));
    }
    Ok(columns)
}

/// Where an expression's columns are.
fn places(expression: &RowExpression, columns: &[Column]) -> Result<Vec<usize>, BadFile> {
    let place = |name: &String| columns.iter().position(|column| column.name == *name);
    let lacking: Vec<&str> =
        expression.columns.iter().filter(|name| place(name).is_none()).map(String::as_str).collect();
    if lacking.is_empty() {
        Ok(expression.columns.iter().filter_map(place).collect())
    } else {
        Err(lacks(&lacking))
    }
}

/// A row as an expression sees it.
struct Row<'a> {
    session: &'a Session,
    names: &'a [String],
    places: &'a [usize],
    fields: &'a Fields,
}

impl VariableResolver for Row<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let at = self.names.iter().position(|name| name == variable)?;
        let column = &self.session.columns[*self.places.get(at)?];
        let (text, value, kind) = self.session.column(column, self.fields);
        Some(to_cel(&value, text, || {
            let mut written = Vec::new();
            if let Some(kind) = kind {
                kind.write(&value, text, &mut Vec::new(), &mut written);
            }
            String::from_utf8(written).unwrap_or_default()
        }))
    }
}
