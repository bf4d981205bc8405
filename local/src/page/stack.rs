//! What a whole consists of: a bar, cut in proportion, with the figures below.

use std::fmt::Write as _;

use super::escaped;

/// A part of a whole.
pub struct Part<'a> {
    /// What it is.
    pub name: &'a str,
    /// How much.
    pub value: u64,
}

/// A bar of up to five parts. `write` writes a value.
pub fn stacked(name: &str, parts: &[Part<'_>], write: &dyn Fn(u64) -> String) -> String {
    let whole = parts.iter().map(|part| part.value).sum::<u64>().max(1) as f64;
    let mut bar = format!("<svg height=\"18\" role=\"img\" aria-label=\"{}\">", escaped(name));
    let mut legend = String::from("<ul class=\"legend\">");
    let mut from = 0.0;
    for (number, part) in parts.iter().enumerate() {
        let width = part.value as f64 / whole * 100.0;
        let style = number + 1;
        write!(bar, "<rect class=\"f{style}\" x=\"{from:.3}%\" width=\"{width:.3}%\" height=\"18\"/>")
            .unwrap_or_default();
        write!(
            legend,
            "<li><svg aria-hidden=\"true\"><rect class=\"f{style}\" width=\"24\" height=\"12\"/></svg>{} {}</li>",
            escaped(&write(part.value)),
            escaped(part.name)
        )
        .unwrap_or_default();
        from += width;
    }
    format!("{bar}</svg>\n{legend}</ul>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_behind_one_another() {
        let parts = [Part { name: "a", value: 3 }, Part { name: "b", value: 1 }];
        let markup = stacked("rows", &parts, &|value| value.to_string());
        assert!(markup.contains("class=\"f2\" x=\"75.000%\" width=\"25.000%\""), "{markup}");
        assert!(stacked("none", &[], &|value| value.to_string()).contains("<svg"));
    }
}
