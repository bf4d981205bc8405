//! 1,000 columns.

use super::{Builder, Plan, repeat};

const COLUMNS: usize = 1000;

/// Of some 5 KB each.
const ROWS: usize = 64;

pub(super) fn plan(seed: u64) -> Plan {
    let names: Vec<String> = (1..COLUMNS).map(|column| format!("c{column}")).collect();
    let mut builder = Builder::new(seed);
    let words = builder.words(&["open", "closed", "pending", "yes", "no", "blue", "green", "north", "south"]);
    repeat(&format!("id,{}", names.join(",")), ROWS, builder, |row| {
        row.serial();
        for column in 1..COLUMNS {
            row.next_field();
            match column % 10 {
                // In a table so wide, much is empty.
                3 | 4 => {}
                7 => row.word(&words),
                _ => {
                    // The last, and the first, have two digits at least.
                    let digits = 2 + row.random.below(6);
                    row.number(digits);
                }
            }
        }
    })
}
