//! Renders the table as lines of text: one file of fields that is read at start, one of descriptions that is read when asked for.
use crate::Definitions;
use std::fmt::Write;

/// Fields: `D name notes`, `O group version kind plural`, `F name type outer-tag inner-tag required notes`, separated by tabs.
/// Descriptions: one line per `D` and per `F`, in the same order, line breaks written as U+0001.
pub fn render(definitions: &Definitions) -> (String, String) {
    let (mut fields, mut docs) = (String::new(), String::new());
    for (name, definition) in definitions {
        line(&mut fields, &["D", name, &definition.notes.join(";")]);
        line(&mut docs, &[&escape(&definition.docs)]);
        if let Some([group, version, kind, plural]) = &definition.object {
            line(&mut fields, &["O", group, version, kind, plural]);
        }
        for field in &definition.fields {
            let (outer, inner) = (field.tags.0.to_string(), field.tags.1.to_string());
            let required = if field.required { "r" } else { "" };
            line(&mut fields, &["F", &field.name, &field.ty, &outer, &inner, required, &field.notes.join(";")]);
            line(&mut docs, &[&escape(&field.docs)]);
        }
    }
    (fields, docs)
}

fn line(out: &mut String, cells: &[&str]) {
    writeln!(out, "{}", cells.join("\t")).expect("a String takes all writes");
}

fn escape(text: &str) -> String {
    text.trim().replace('\n', "\u{1}")
}
