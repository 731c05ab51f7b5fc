//! A page of HTML that needs nothing but itself: no script, no network. `templates/page.html` is how it looks.

use askama::Template;

use super::picture::Picture;
use crate::error::{Error, Result};

/// A page.
#[derive(Debug, Template)]
#[template(path = "page.html")]
pub struct Page {
    /// Its title.
    pub title: String,
    /// What it is about, in a sentence.
    pub lead: String,
    /// Its sections.
    pub sections: Vec<Section>,
    /// What stands at its end.
    pub foot: String,
}

/// A section of a page.
#[derive(Debug)]
pub struct Section {
    /// What links to it name.
    pub id: &'static str,
    /// Its heading.
    pub heading: &'static str,
    /// What it consists of.
    pub parts: Vec<Part>,
}

/// A part of a section. All text is escaped where the page is written.
#[derive(Debug)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// What a reader must know.
    Warning(String),
    /// Text as it was typed.
    Code(String),
    /// Names, and what there is to say of each.
    Facts(Vec<(String, String)>),
    /// Pictures side by side, where there is room.
    Figures(Vec<Figure>),
    /// A table.
    Table(Table),
}

/// A picture, and what it says.
#[derive(Debug)]
pub struct Figure {
    /// The picture.
    pub picture: Picture,
    /// What it shows, with the numbers, for those who do not see it.
    pub says: String,
    /// What stands below it.
    pub caption: String,
}

/// A table whose first column names its rows.
#[derive(Debug)]
pub struct Table {
    /// What it is of.
    pub caption: String,
    /// Head of each column, that of the names first.
    pub heads: Vec<String>,
    /// The name of each row, and its other cells.
    pub rows: Vec<(String, Vec<String>)>,
    /// Whether cells are numbers, which stand to the right.
    pub numbers: bool,
    /// Whether it is folded away until someone asks for it.
    pub folded: bool,
}

impl Page {
    /// The page as HTML.
    ///
    /// # Errors
    /// [`Error::Numerics`] where it cannot be written.
    pub fn html(&self) -> Result<String> {
        self.render().map_err(|e| Error::Numerics(format!("the page cannot be written: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_text_says_is_text() {
        let hostile = "<script>alert('a&b')</script>\"";
        let text = || hostile.to_owned();
        let table = Table {
            caption: text(),
            heads: vec![text(), text()],
            rows: vec![(text(), vec![text()])],
            numbers: true,
            folded: true,
        };
        let parts = vec![
            Part::Text(text()),
            Part::Warning(text()),
            Part::Code(text()),
            Part::Facts(vec![(text(), text())]),
            Part::Table(table),
        ];
        let sections = vec![Section { id: "data", heading: "Data", parts }];
        let html = Page { title: text(), lead: text(), sections, foot: text() }.html().unwrap();
        assert!(!html.contains("<script") && !html.contains("alert('"), "{html}");
        // The title twice, the caption three times, once each other text.
        assert_eq!(html.matches("&#60;script&#62;").count(), 16, "{html}");
    }
}
