//! Where a file's kept rows go, and as what.

use super::super::form::{Form, JsonType};
use super::super::parquet::ParquetFile;
use super::super::partitions::{Partitions, append_name, append_value};
use super::columns::Source;
use super::values::{Buffers, Values};
use crate::fields::Fields;
use crate::lines::Line;
use crate::outputs::Outputs;
use crate::profile::Profile;
use crate::write::end_row;
use crate::{Compression, EngineError, Options};

/// The output, and the row that is next.
#[derive(Debug)]
pub(super) struct Output {
    target: Target,
    /// What a row of text consists of, in order; nothing where it is written field by field.
    runs: Vec<Run>,
    row: Vec<u8>,
    buffers: Buffers,
    /// What the columns hold, where that was asked for.
    profile: Option<Profile>,
}

/// Where kept rows go.
#[derive(Debug)]
enum Target {
    /// One behind the other, as text.
    Text,
    /// Into one file of Parquet.
    Parquet(Box<ParquetFile>),
    /// By what they have in some columns.
    Partitioned(Box<Partitioned>),
}

/// An output of many objects.
#[derive(Debug)]
struct Partitioned {
    /// The columns that decide, each with its name as a path has it.
    by: Vec<(usize, String)>,
    all: Partitions,
    /// Where the row that is next belongs.
    path: String,
    place: usize,
}

/// A part of a row of text.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// Fields that stand as they stand in the file, beside each other.
    Fields { first: usize, last: usize },
    /// A column that is written anew.
    Column(usize),
}

impl Output {
    /// Begins the output of these columns, partitioned by some of them, or by none.
    pub(super) fn open(
        values: &Values,
        by: &[usize],
        compression: Compression,
        options: &Options,
    ) -> Result<Self, EngineError> {
        let columns = &values.columns;
        let file = match values.work.form {
            Form::Parquet(compression) => {
                let written = columns.iter().filter(|column| column.place.is_some());
                let kinds = written.map(|column| (column.name.as_str(), column.kind(&values.work)));
                Some(ParquetFile::begin(kinds, compression, options.row_group_bytes)?)
            }
            _ => None,
        };
        let target = match file {
            _ if !by.is_empty() => {
                let all = match file {
                    Some(file) => Partitions::of_parquet(file, options.partitions),
                    None => Partitions::of_text(&header(values), compression, options.partitions)?,
                };
                let escaped = |at: &usize| {
                    let mut name = String::new();
                    append_name(&columns[*at].name, &mut name);
                    (*at, name)
                };
                let by = by.iter().map(escaped).collect();
                Target::Partitioned(Box::new(Partitioned { by, all, path: String::new(), place: 0 }))
            }
            Some(file) => Target::Parquet(Box::new(file)),
            None => Target::Text,
        };
        let names = || Profile::of_columns(columns.iter().map(|column| column.name.clone()));
        Ok(Self {
            target,
            runs: Vec::new(),
            row: Vec::new(),
            buffers: Buffers::default(),
            profile: options.profile.then(names),
        })
    }

    /// Says what is between the fields of the rows that come.
    pub(super) fn read_by(&mut self, values: &Values, delimiter: &[u8]) {
        self.runs = if self.profile.is_some() { Vec::new() } else { runs(values, delimiter) };
    }

    /// What was seen of the columns.
    pub(super) fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }

    /// Writes what the output begins with: the columns' names, if it has them and is one.
    pub(super) fn begin(&self, values: &Values, out: &mut Outputs) {
        if matches!(self.target, Target::Text) {
            out.text.extend_from_slice(&header(values));
        }
    }

    /// A column of a row for which there is no room, and why.
    pub(super) fn misfit(&self, values: &Values, fields: &Fields) -> Option<(usize, &'static str)> {
        let file = match &self.target {
            Target::Text => None,
            Target::Parquet(file) => Some(&**file),
            Target::Partitioned(partitioned) => partitioned.all.any_file(),
        }?;
        let mut columns = values.columns.iter().enumerate().filter(|(_, column)| column.mask.is_none());
        columns.find_map(|(at, column)| {
            let (_, value, _) = values.column(column, fields);
            file.misfit(column.place?, &value).map(|message| (at, message))
        })
    }

    /// Finds a kept row's partition, where there are any. Returns whether its path has room in a key.
    pub(super) fn find_place(&mut self, values: &Values, fields: &Fields) -> Result<bool, EngineError> {
        let Target::Partitioned(partitioned) = &mut self.target else { return Ok(true) };
        let Partitioned { by, all, path, place } = &mut **partitioned;
        path.clear();
        for (at, name) in by {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
            let shown = values.show(*at, true, fields, &mut self.buffers);
            let text = (shown.json != JsonType::Null).then(|| String::from_utf8_lossy(shown.text));
            append_value(text.as_deref(), path);
        }
        if !all.has_room(path) {
            return Ok(false);
        }
        *place = all.place(path)?;
        Ok(true)
    }

    /// Writes a kept row, for [`Self::hand_on`].
    pub(super) fn write(&mut self, values: &Values, fields: &Fields) {
        if !self.write_runs(values, fields) {
            self.write_fields(values, fields);
        }
    }

    fn write_fields(&mut self, values: &Values, fields: &Fields) {
        let Self { target, row, buffers, profile, .. } = self;
        let mut file = match target {
            Target::Text => None,
            Target::Parquet(file) => Some(&mut **file),
            Target::Partitioned(partitioned) => partitioned.all.file(partitioned.place),
        };
        row.clear();
        for (at, column) in values.columns.iter().enumerate() {
            let is_text = match (&file, column.place) {
                (Some(file), Some(place)) => file.is_text(place),
                _ => column.place.is_none(),
            };
            let shown = values.show(at, is_text, fields, buffers);
            match (column.place, &mut file) {
                (None, _) => {}
                (Some(place), None) => {
                    values.work.form.field(place == 0, &column.json_key, shown.text, shown.json, row);
                }
                (Some(place), Some(file)) => {
                    file.push(place, (shown.json != JsonType::Null).then_some((&shown.value, shown.text)));
                }
            }
            if let Some(profile) = profile {
                profile.observe(at, shown.text);
            }
        }
        values.work.form.end(0, row);
    }

    /// Writes a row of text by its runs, if it can be done. Returns whether it was.
    fn write_runs(&mut self, values: &Values, fields: &Fields) -> bool {
        if self.runs.is_empty() {
            return false;
        }
        let form = &values.work.form;
        self.row.clear();
        for (number, run) in self.runs.iter().enumerate() {
            match *run {
                Run::Fields { first, last } => {
                    let Some(run) = fields.run(first, last) else { return false };
                    form.delimit(number == 0, &mut self.row);
                    self.row.extend_from_slice(run);
                }
                Run::Column(at) => {
                    let shown = values.show(at, false, fields, &mut self.buffers);
                    let key = &values.columns[at].json_key;
                    form.field(number == 0, key, shown.text, shown.json, &mut self.row);
                }
            }
        }
        form.end(0, &mut self.row);
        true
    }

    /// Whether rows are written by copying fields as they lie.
    pub(super) fn copies(&self) -> bool {
        let is_text = matches!(self.target, Target::Text);
        is_text && !self.runs.is_empty() && self.runs.iter().all(|run| matches!(run, Run::Fields { .. }))
    }

    /// Copies the fields of a plain line, where that is all there is to be done.
    pub(super) fn copy(&self, line: &Line<'_>, out: &mut Outputs) {
        let start = out.text.len();
        for (number, run) in self.runs.iter().enumerate() {
            if number > 0 {
                out.text.extend_from_slice(&[line.delimiter]);
            }
            let Run::Fields { first, last } = *run else { continue };
            if !line.is_quoted {
                out.text.extend_from_slice(line.run(first, last));
                continue;
            }
            for at in first..=last {
                if at > first {
                    out.text.extend_from_slice(&[line.delimiter]);
                }
                out.text.extend_from_slice(line.written(at));
            }
        }
        end_row(start, &mut out.text);
    }

    /// Hands on the row that was written.
    pub(super) fn hand_on(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        match &mut self.target {
            Target::Text => out.text.extend_from_slice(&self.row),
            Target::Parquet(file) => file.advance()?.into_iter().for_each(|bytes| out.append(bytes)),
            Target::Partitioned(partitioned) => {
                partitioned.all.take(partitioned.place, &self.row, &mut out.partitioned)?;
            }
        }
        Ok(())
    }

    /// Hands on what ends the output, or the next of its objects. Returns whether there may be more.
    pub(super) fn end(&mut self, out: &mut Outputs) -> Result<bool, EngineError> {
        match &mut self.target {
            Target::Text => Ok(false),
            Target::Parquet(file) => {
                out.append(file.finish()?);
                Ok(false)
            }
            Target::Partitioned(partitioned) => partitioned.all.finish_one(&mut out.partitioned),
        }
    }
}

/// The columns' names, written as the output has them; nothing if it has none.
fn header(values: &Values) -> Vec<u8> {
    let (form, mut row) = (&values.work.form, Vec::new());
    if form.has_header() {
        for column in &values.columns {
            let Some(place) = column.place else { continue };
            form.field(place == 0, b"", column.name.as_bytes(), JsonType::Text, &mut row);
        }
        form.end(0, &mut row);
    }
    row
}

/// What a row of text consists of, where fields that are left as they are can be copied as they lie between the file's
/// delimiters; nothing where they can't.
fn runs(values: &Values, delimiter: &[u8]) -> Vec<Run> {
    // Of a longer delimiter, a field that has its first byte is quoted.
    let is_alike = match &values.work.form {
        Form::Separated { delimiter: ours, quote_all: false, .. } => ours == delimiter && ours.len() == 1,
        _ => false,
    };
    if !is_alike || values.neutralizes {
        return Vec::new();
    }
    let mut runs: Vec<Run> = Vec::new();
    for (at, column) in values.columns.iter().enumerate().filter(|(_, column)| column.place.is_some()) {
        let field = match column.source {
            Source::Field(field) if !column.cast && column.mask.is_none() => field,
            _ => {
                runs.push(Run::Column(at));
                continue;
            }
        };
        match runs.last_mut() {
            Some(Run::Fields { last, .. }) if *last + 1 == field => *last = field,
            _ => runs.push(Run::Fields { first: field, last: field }),
        }
    }
    runs
}
