//! `-o custom-columns=NAME:.metadata.name,…`: a table of one's own.
use super::{jsonpath, tabwriter};
use serde_json::Value;

pub fn render(columns: &str, objects: &[Value], no_headers: bool) -> Result<String, String> {
    let columns: Vec<(&str, &str)> = columns
        .split(',')
        .map(|c| c.split_once(':').ok_or_else(|| format!("column {c:?} must be HEADER:PATH")))
        .collect::<Result<_, _>>()?;
    let mut text = String::new();
    if !no_headers {
        text.push_str(&columns.iter().map(|(h, _)| *h).collect::<Vec<_>>().join("\t"));
        text.push('\n');
    }
    for object in objects {
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, path)| {
                let found = jsonpath::find(path, object)?;
                let cells: Vec<String> = found.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_string)).collect();
                Ok(if cells.is_empty() { "<none>".into() } else { cells.join(",") })
            })
            .collect::<Result<_, String>>()?;
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    Ok(tabwriter::align(&text, tabwriter::TABLE))
}
