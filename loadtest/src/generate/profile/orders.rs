//! Orders: what people type.

use super::taxi::money;
use super::{Builder, Plan, Times, repeat};
use crate::generate::builder::Words;

const HEADER: &str =
    "order_id,ordered_at,status,customer,email,address,city,country,quantity,unit_price,note,total";

const ROWS: usize = 1024;

const GIVEN: [&str; 20] = [
    "Anna",
    "Søren",
    "Zoë",
    "Łukasz",
    "François",
    "Jürgen",
    "Nguyễn",
    "María José",
    "Olga",
    "Иван",
    "Ольга",
    "Δημήτρης",
    "محمد",
    "太郎",
    "小明",
    "지훈",
    "Siobhán",
    "Björk",
    "Ngozi",
    "Kateřina",
];

const FAMILY: [&str; 20] = [
    "Smith",
    "Ødegård",
    "O’Brien",
    "Wiśniewski",
    "Lefèvre",
    "Müller",
    "Trần",
    "García",
    "Ivanova",
    "Петров",
    "Смирнова",
    "Παπαδόπουλος",
    "العلي",
    "山田",
    "王",
    "김",
    "Ní Dhomhnaill",
    "Guðmundsdóttir",
    "Okafor",
    "Dvořáková",
];

const CITIES: [&str; 16] = [
    "Berlin",
    "Zürich",
    "São Paulo",
    "Kraków",
    "Αθήνα",
    "Москва",
    "東京",
    "서울",
    "القاهرة",
    "Reykjavík",
    "New York",
    "Malmö",
    "Hà Nội",
    "Lagos",
    "Québec",
    "Θεσσαλονίκη",
];

const STREETS: [&str; 8] = [
    "Main Street",
    "Hauptstraße",
    "Rue de l’Église",
    "Calle Ñuñoa",
    "улица Ленина",
    "Via Roma",
    "丸の内",
    "Kungsgatan",
];

/// What they add: as CSV has it, quoted.
const NOTES: [&str; 8] = [
    r#""leave with the neighbour, please""#,
    r#""He said ""ring twice"", then wait""#,
    r#""gift, wrap in blue""#,
    r#""fragile, 12"" of glass, this side up""#,
    r#""fällt leicht um, bitte vorsichtig""#,
    r#""帰ったら、置き配で, please""#,
    r#""size M, not ""L"" as last time""#,
    r#""call +49 30 123456, any time""#,
];

/// The same over several lines. A comma comes before the first line's end: see `docs/loadtest.md`.
const LONG_NOTES: [&str; 4] = [
    "\"Dear shop,\nthe last one broke.\nPlease pack it better.\"",
    "\"2nd floor, left door\nring at \"\"Müller\"\"\"",
    "\"gift, with a card:\n\nHappy birthday 🎂\"",
    "\"blue, or if there is none:\ngreen\"",
];

struct Lists {
    times: Times,
    states: Words,
    given: Words,
    family: Words,
    cities: Words,
    streets: Words,
    countries: Words,
}

pub(super) fn plan(seed: u64) -> Plan {
    let mut builder = Builder::new(seed);
    let lists = Lists {
        times: Times::new(&mut builder),
        states: builder.words(&["new", "paid", "sent", "sent", "delivered", "returned"]),
        given: builder.words(&GIVEN),
        family: builder.words(&FAMILY),
        cities: builder.words(&CITIES),
        streets: builder.words(&STREETS),
        countries: builder.words(&["DE", "US", "JP", "BR", "PL", "GR", "SE", "NG", "KR", "EG"]),
    };
    repeat(HEADER, ROWS, builder, |row| order(row, &lists))
}

fn order(row: &mut Builder, lists: &Lists) {
    row.serial();
    row.next_field();
    lists.times.time(row, "T");
    row.text("Z");
    row.next_field();
    row.word(&lists.states);
    row.next_field();
    row.text("\"");
    row.word(&lists.family);
    row.text(", ");
    row.word(&lists.given);
    row.text("\"");
    row.next_field();
    row.text("customer");
    row.digits(6);
    row.text("@example.com");
    row.next_field();
    row.text("\"");
    row.word(&lists.streets);
    row.text(" ");
    let house = 1 + row.random.below(3);
    row.number(house);
    if row.random.chance(20) {
        row.text(", app. ");
        row.number(1);
    }
    row.text(", ");
    row.digits(5);
    row.text("\"");
    row.next_field();
    row.word(&lists.cities);
    row.next_field();
    row.word(&lists.countries);
    row.next_field();
    row.number(1);
    row.next_field();
    money(row, &[(30, 1), (50, 2), (20, 3)]);
    row.next_field();
    if row.may_have_lines() && row.random.chance(40) {
        let note = row.random.below(LONG_NOTES.len());
        row.text(LONG_NOTES[note]);
    } else if row.random.chance(30) {
        let note = row.random.below(NOTES.len());
        row.text(NOTES[note]);
    }
    row.next_field();
    money(row, &[(20, 1), (50, 2), (30, 3)]);
}
