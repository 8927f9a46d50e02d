//! Writes HTML tables. The report page and the console write all their tables with this function.

use maud::{Markup, html};

/// A column's title and the CSS class of the heading. An empty class writes no `class` attribute.
pub type TableHeading<'a> = (&'a str, &'a str);

/// Writes a table with the CSS class `class` in a box that scrolls sideways on narrow screens. `rows` are the `tr`
/// elements of the table's body. Without headings the table has no head.
pub fn html_table(class: &str, headings: &[TableHeading<'_>], rows: &Markup) -> Markup {
    html! {
        div.scroll {
            table class=[some(class)] {
                @if !headings.is_empty() {
                    thead { tr { @for (title, class) in headings { th class=[some(class)] scope="col" { (title) } } } }
                }
                tbody { (rows) }
            }
        }
    }
}

fn some(class: &str) -> Option<&str> {
    (!class.is_empty()).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_classes_or_headings_has_no_empty_attributes_and_no_head() {
        let row = html! { tr { td { "1" } } };
        assert_eq!(
            html_table("list wide", &[("A", ""), ("B", "right")], &row).into_string(),
            "<div class=\"scroll\"><table class=\"list wide\"><thead><tr><th scope=\"col\">A</th>\
             <th class=\"right\" scope=\"col\">B</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table></div>"
        );
        assert_eq!(
            html_table("", &[], &row).into_string(),
            "<div class=\"scroll\"><table><tbody><tr><td>1</td></tr></tbody></table></div>"
        );
    }
}
