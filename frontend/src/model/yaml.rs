//! An object's YAML as people want to read it.

/// Without the list of who set which field: long, never edited by hand, and kept by the server when it is left out.
pub fn without_managed_fields(yaml: &str) -> String {
    let mut out = String::with_capacity(yaml.len());
    let (mut in_metadata, mut skipping) = (false, false);
    for line in yaml.lines() {
        let indent = line.len() - line.trim_start().len();
        if indent == 0 {
            in_metadata = line == "metadata:";
            skipping = false;
        } else if in_metadata && indent == 2 && !line.starts_with("  - ") {
            skipping = line == "  managedFields:";
        }
        if !skipping {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owners_of_fields_are_left_out() {
        let yaml = "kind: Pod\nmetadata:\n  labels:\n    managedFields: x\n  managedFields:\n  - apiVersion: v1\n    time: now\n  name: a\nspec:\n  managedFields:\n  - b\n";
        let want = "kind: Pod\nmetadata:\n  labels:\n    managedFields: x\n  name: a\nspec:\n  managedFields:\n  - b\n";
        assert_eq!(without_managed_fields(yaml), want);
    }
}
