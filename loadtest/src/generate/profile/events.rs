//! Events with JSON in a field.

use super::taxi::money;
use super::{Builder, Plan, Times, repeat};

const ROWS: usize = 1024;

pub(super) fn plan(seed: u64) -> Plan {
    let mut builder = Builder::new(seed);
    let times = Times::new(&mut builder);
    let hex = builder.pool(2, (0..=255u8).flat_map(|byte| format!("{byte:02x}").into_bytes()));
    let kinds = builder.words(&["view", "view", "view", "click", "search", "purchase", "signup"]);
    let pages = builder.words(&["home", "product", "basket", "checkout", "help", "über uns", "おすすめ"]);
    let bools = builder.words(&["true", "true", "false"]);
    let agents = builder.words(&["Firefox/131.0", "Chrome/130.0", "Safari/17.6", "okhttp/4.12.0"]);
    repeat("event_id,at,user_id,type,session,payload,duration_ms", ROWS, builder, |row| {
        row.serial();
        row.next_field();
        times.time(row, "T");
        row.text("Z");
        row.next_field();
        let digits = 5 + row.random.below(4);
        row.number(digits);
        row.next_field();
        row.word(&kinds);
        row.next_field();
        for _ in 0..8 {
            row.slot(hex);
        }
        row.next_field();
        row.text(r#""{""page"": """#);
        row.word(&pages);
        row.text(r#""", ""agent"": """#);
        row.word(&agents);
        row.text(r#""", ""ok"": "#);
        row.word(&bools);
        if row.random.chance(40) {
            row.text(r#", ""items"": [{""sku"": ""A-"#);
            row.digits(6);
            row.text(r#""", ""price"": "#);
            money(row, &[(40, 1), (50, 2), (10, 3)]);
            row.text("}]");
        }
        row.text(r#"}""#);
        row.next_field();
        let digits = 2 + row.random.below(4);
        row.number(digits);
    })
}
