//! The kinds of rows that there are to measure with.

use std::fmt::Write as _;
use std::iter::repeat_with;

/// What the rows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Nine short columns, such as most files have
    Trips,
    /// The same rows, every field quoted without need
    Quoted,
    /// Two columns, one of which holds 512 KiB of quoted text
    LongFields,
    /// 10,000 columns
    Wide,
}

const TRIPS: [&str; 9] =
    ["trip_id", "pickup_at", "passengers", "distance_km", "from_zone", "to_zone", "fare", "tip", "note"];

/// Half of the longest record that the engine takes by default.
const LONG_FIELD_BYTES: usize = 512 * 1024;

const WIDE_COLUMNS: usize = 10_000;

impl Shape {
    /// The header, with its line end.
    pub fn header(self) -> String {
        match self {
            Self::Trips => TRIPS.join(",") + "\n",
            Self::Quoted => TRIPS.map(|name| format!("\"{name}\"")).join(",") + "\n",
            Self::LongFields => "id,text\n".into(),
            Self::Wide => {
                (0..WIDE_COLUMNS).map(|column| format!("c{column}")).collect::<Vec<_>>().join(",") + "\n"
            }
        }
    }

    /// One more row, with its line end.
    pub fn row(self, random: &mut fastrand::Rng) -> String {
        match self {
            Self::Trips => trip(random).join(",") + "\n",
            Self::Quoted => trip(random).map(|field| format!("\"{field}\"")).join(",") + "\n",
            Self::LongFields => format!("{:08x},\"{}\"\n", random.u32(..), long_text(random)),
            Self::Wide => {
                let fields = repeat_with(|| random.u32(0..100_000).to_string()).take(WIDE_COLUMNS);
                fields.collect::<Vec<_>>().join(",") + "\n"
            }
        }
    }
}

fn trip(random: &mut fastrand::Rng) -> [String; 9] {
    let (minute, note) = (random.u32(0..1440), ["", "card", "cash", "no show"][random.usize(0..4)]);
    let (month, day) = (random.u32(1..13), random.u32(1..29));
    [
        format!("{:08x}", random.u32(..)),
        format!("2026-{month:02}-{day:02}T{:02}:{:02}:00Z", minute / 60, minute % 60),
        random.u32(1..7).to_string(),
        format!("{}.{:02}", random.u32(0..40), random.u32(0..100)),
        random.u32(1..266).to_string(),
        random.u32(1..266).to_string(),
        format!("{}.{:02}", random.u32(3..90), random.u32(0..100)),
        format!("{}.{:02}", random.u32(0..15), random.u32(0..100)),
        note.to_owned(),
    ]
}

/// A text of the longest field's length once its quotes are no longer doubled: words, commas, quotes and lines, so
/// that it has to be quoted.
fn long_text(random: &mut fastrand::Rng) -> String {
    const BETWEEN: [&str; 8] = [" ", " ", " ", " ", ", ", ". ", "\n", "\"\""];
    let (mut text, mut length) = (String::with_capacity(LONG_FIELD_BYTES * 2), 0);
    while length < LONG_FIELD_BYTES {
        let (word, between) = (random.u32(..), BETWEEN[random.usize(0..BETWEEN.len())]);
        let before = text.len();
        // Writing to a string can't fail.
        write!(text, "{word:x}{between}").unwrap_or_default();
        length += text.len() - before - usize::from(between == "\"\"");
    }
    // The last word may have gone too far; a quote among what is cut was doubled.
    let too_many = length - LONG_FIELD_BYTES;
    if too_many > 0 {
        if text.ends_with("\"\"") {
            text.pop();
        }
        text.truncate(text.len() - too_many);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a header and some rows, as another CSV parser sees them.
    fn parsed(shape: Shape, rows: usize) -> Vec<Vec<String>> {
        let mut random = fastrand::Rng::with_seed(7);
        let text: String = std::iter::once(shape.header())
            .chain(repeat_with(|| shape.row(&mut random)).take(rows))
            .collect();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn every_row_has_the_columns_of_its_shape() {
        for (shape, columns) in
            [(Shape::Trips, 9), (Shape::Quoted, 9), (Shape::LongFields, 2), (Shape::Wide, 10_000)]
        {
            let records = parsed(shape, 20);
            assert_eq!(records.len(), 21, "{shape:?}");
            assert!(records.iter().all(|record| record.len() == columns), "{shape:?}");
        }
    }

    #[test]
    fn long_fields_are_long_and_have_to_be_quoted() {
        for record in &parsed(Shape::LongFields, 20)[1..] {
            assert_eq!(record[1].len(), LONG_FIELD_BYTES);
            assert!([',', '"', '\n'].iter().all(|special| record[1].contains(*special)));
        }
    }

    #[test]
    fn quoted_rows_are_trips_in_quotes() {
        assert_eq!(parsed(Shape::Quoted, 20), parsed(Shape::Trips, 20));
        let quotes = Shape::Quoted.row(&mut fastrand::Rng::with_seed(7)).matches('"').count();
        assert_eq!(quotes, 2 * TRIPS.len());
    }
}
