//! The table itself: every type's fields, read once from the data file and kept for good.
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;

static DATA: &[u8] = include_bytes!("../data/schema.bin");
static OPENSHIFT: &str = include_str!("../data/openshift.json");

/// The type of a field's JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int32,
    Int64,
    Double,
    Text,
    /// Base64 in JSON.
    Bytes,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// An embedded object of any kind.
    RawExtension,
    FieldsV1,
    /// Any JSON.
    Json,
    /// An object without fields of its own (`CustomResourceSubresourceStatus`).
    Empty,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrStrings,
    List(&'static Type),
    Map(&'static Type),
    Object(DefinitionId),
}

/// Index of a definition in the table.
pub type DefinitionId = u16;

/// One field of a definition.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub ty: Type,
    /// Protobuf: tag of the embedded message that holds the field, 0 if none.
    pub outer_tag: u16,
    /// Protobuf: tag of the field, 0 if it has none.
    pub tag: u16,
    pub required: bool,
    notes: &'static str,
    doc_line: u16,
}

/// How a list behaves when two writers meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map(Vec<&'static str>),
}

impl Field {
    fn note(&self, name: &str) -> Option<&'static str> {
        note(self.notes, name)
    }

    /// The field by which a strategic merge patch finds an item of this list.
    pub fn merge_key(&self) -> Option<&'static str> {
        self.note("patchMergeKey")
    }

    /// `merge`, `replace`, `retainKeys` or two of them with a comma.
    pub fn patch_strategy(&self) -> &'static str {
        self.note("patchStrategy").unwrap_or_default()
    }

    pub fn list_type(&self) -> Option<ListType> {
        Some(match self.note("listType")? {
            "map" => ListType::Map(self.list_keys().collect()),
            "set" => ListType::Set,
            _ => ListType::Atomic,
        })
    }

    /// The fields that together identify an item of a list of type map.
    pub fn list_keys(&self) -> impl Iterator<Item = &'static str> {
        self.notes.split(';').filter_map(|n| n.strip_prefix("listMapKey="))
    }

    /// A map or object that is replaced as a whole by server-side apply.
    pub fn is_atomic(&self) -> bool {
        self.note("mapType") == Some("atomic") || self.note("structType") == Some("atomic")
    }

    /// The default that the declaration itself names (`protocol`: TCP).
    pub fn default(&self) -> Option<Value> {
        serde_json::from_str(self.note("default")?).ok()
    }
}

fn note(notes: &'static str, name: &str) -> Option<&'static str> {
    notes.split(';').find_map(|n| n.strip_prefix(name)?.strip_prefix('='))
}

/// One type with named fields.
#[derive(Debug)]
pub struct Definition {
    /// As in Kubernetes' OpenAPI: `io.k8s.api.core.v1.Pod`.
    pub name: &'static str,
    /// Group, version and kind, if this type is an object by itself.
    pub object: Option<[&'static str; 3]>,
    notes: &'static str,
    doc_line: u16,
    first: u16,
    end: u16,
}

impl Definition {
    /// `Container`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// `v1.Container`, as Go prints the type.
    pub fn go_name(&self) -> &'static str {
        let dot = self.name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
        &self.name[dot..]
    }

    /// Replaced as a whole by server-side apply (`LabelSelector`, `ObjectReference`).
    pub fn is_atomic(&self) -> bool {
        note(self.notes, "structType") == Some("atomic") || note(self.notes, "mapType") == Some("atomic")
    }
}

/// All definitions. Get it with [`table`].
pub struct Table {
    definitions: Vec<Definition>,
    /// Of all definitions, one after the other, sorted by name within each.
    fields: Vec<Field>,
    by_name: HashMap<&'static str, DefinitionId>,
    by_object: HashMap<(&'static str, &'static str, &'static str), DefinitionId>,
    /// Descriptions of the hand-written definitions; the generated ones stay compressed.
    own_docs: Vec<&'static str>,
    generated_docs: u16,
}

/// The table, read at the first call.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Loader::default().load())
}

impl Table {
    pub fn definition(&self, id: DefinitionId) -> &Definition {
        &self.definitions[usize::from(id)]
    }

    pub fn fields(&self, id: DefinitionId) -> &[Field] {
        let definition = self.definition(id);
        &self.fields[usize::from(definition.first)..usize::from(definition.end)]
    }

    pub fn field(&self, id: DefinitionId, name: &str) -> Option<&Field> {
        let fields = self.fields(id);
        fields.binary_search_by(|f| f.name.cmp(name)).ok().map(|at| &fields[at])
    }

    pub fn by_name(&self, name: &str) -> Option<DefinitionId> {
        self.by_name.get(name).copied()
    }

    /// The definition of the objects that say `apiVersion` and `kind`. `DeleteOptions` belong to every version.
    pub fn by_api_version(&self, api_version: &str, kind: &str) -> Option<DefinitionId> {
        if kind == "DeleteOptions" {
            return self.by_name("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.by_object.get(&(group, version, kind)).copied()
    }

    /// The definition of a served kind.
    pub fn by_kind(&self, kind: &shared::kinds::Kind) -> Option<DefinitionId> {
        self.by_object.get(&(kind.group, kind.version, kind.kind)).copied()
    }

    pub fn definitions(&self) -> impl Iterator<Item = (DefinitionId, &Definition)> {
        self.definitions.iter().enumerate().map(|(id, d)| (id as DefinitionId, d))
    }

    /// The descriptions, decompressed; drop them after use.
    pub fn descriptions(&'static self) -> Descriptions {
        let text = decompress(sections().1);
        let mut lines = Vec::with_capacity(usize::from(self.generated_docs));
        let mut start = 0;
        for (at, _) in text.match_indices('\n') {
            lines.push((start, at));
            start = at + 1;
        }
        Descriptions { text, lines, generated: self.generated_docs, own: &self.own_docs }
    }
}

/// What people read about types and fields.
pub struct Descriptions {
    text: String,
    lines: Vec<(usize, usize)>,
    generated: u16,
    own: &'static [&'static str],
}

impl Descriptions {
    pub fn of_definition(&self, definition: &Definition) -> String {
        self.line(definition.doc_line)
    }

    pub fn of_field(&self, field: &Field) -> String {
        self.line(field.doc_line)
    }

    fn line(&self, number: u16) -> String {
        let text = if number >= self.generated {
            self.own.get(usize::from(number - self.generated)).copied().unwrap_or_default()
        } else {
            self.lines.get(usize::from(number)).map_or("", |(start, end)| &self.text[*start..*end])
        };
        text.replace('\u{1}', "\n")
    }
}

/// Changes when the table changes.
pub(crate) fn source() -> impl AsRef<[u8]> {
    [DATA, OPENSHIFT.as_bytes()].concat()
}

/// The two compressed parts of the data file: fields, descriptions.
fn sections() -> (&'static [u8], &'static [u8]) {
    let (length, rest) = DATA.split_first_chunk::<4>().expect("the data file begins with a length");
    rest.split_at(u32::from_le_bytes(*length) as usize)
}

fn decompress(bytes: &[u8]) -> String {
    let mut text = String::new();
    brotli::Decompressor::new(bytes, 1 << 14).read_to_string(&mut text).expect("the data file is part of the program");
    text
}

/// Builds the table from the two sources; types are resolved at the end, when all names are known.
#[derive(Default)]
struct Loader {
    definitions: Vec<Definition>,
    fields: Vec<(Field, &'static str)>,
    line: u16,
    own_docs: Vec<&'static str>,
    lists: HashMap<&'static str, Type>,
}

impl Loader {
    fn load(mut self) -> Table {
        self.read_generated(Box::leak(decompress(sections().0).into_boxed_str()));
        let generated_docs = self.line;
        self.read_own();
        let by_name: HashMap<_, _> = self.definitions.iter().enumerate().map(|(id, d)| (d.name, id as DefinitionId)).collect();
        let by_object =
            self.definitions.iter().enumerate().filter_map(|(id, d)| d.object.map(|[g, v, k]| ((g, v, k), id as DefinitionId))).collect();
        for at in 0..self.fields.len() {
            let code = self.fields[at].1;
            self.fields[at].0.ty = self.resolve(code, &by_name);
        }
        for definition in &self.definitions {
            self.fields[usize::from(definition.first)..usize::from(definition.end)].sort_by_key(|(f, _)| f.name);
        }
        let fields = self.fields.into_iter().map(|(f, _)| f).collect();
        Table { definitions: self.definitions, fields, by_name, by_object, own_docs: self.own_docs, generated_docs }
    }

    fn read_generated(&mut self, text: &'static str) {
        for line in text.lines() {
            let cells: Vec<&'static str> = line.split('\t').collect();
            match cells.as_slice() {
                ["D", name, notes] => self.begin(name, notes),
                ["O", group, version, kind, _plural] => {
                    if let Some(last) = self.definitions.last_mut() {
                        last.object = Some([group, version, kind]);
                    }
                }
                ["F", name, ty, outer, inner, required, notes] => {
                    let tag = |text: &str| text.parse().expect("the generator writes numbers");
                    self.field(name, ty, (tag(outer), tag(inner)), !required.is_empty(), notes);
                }
                _ => unreachable!("the generator writes no other lines"),
            }
        }
    }

    /// The hand-written definitions, in JSON: `fields` are `[name, type, tag, description, notes?]`.
    fn read_own(&mut self) {
        let leak = |v: &Value| -> &'static str { Box::leak(v.as_str().unwrap_or_default().to_string().into_boxed_str()) };
        let value: Value = serde_json::from_str(OPENSHIFT).expect("openshift.json is part of the program");
        for (name, own) in value.as_object().into_iter().flatten() {
            self.begin(Box::leak(name.clone().into_boxed_str()), "");
            self.own_docs.push(leak(&own["docs"]));
            if let Some([group, version, kind]) = own["object"].as_array().map(Vec::as_slice) {
                if let Some(last) = self.definitions.last_mut() {
                    last.object = Some([leak(group), leak(version), leak(kind)]);
                }
                for name in ["apiVersion", "kind"] {
                    self.field(name, "s", (0, 0), false, "");
                    self.own_docs.push("");
                }
            }
            for field in own["fields"].as_array().into_iter().flatten() {
                let tag = field[2].as_u64().unwrap_or(0) as u16;
                self.field(leak(&field[0]), leak(&field[1]), (0, tag), false, leak(&field[4]));
                self.own_docs.push(leak(&field[3]));
            }
        }
    }

    fn begin(&mut self, name: &'static str, notes: &'static str) {
        let at = self.fields.len() as u16;
        self.definitions.push(Definition { name, object: None, notes, doc_line: self.line, first: at, end: at });
        self.line += 1;
    }

    fn field(&mut self, name: &'static str, code: &'static str, tags: (u16, u16), required: bool, notes: &'static str) {
        let field = Field { name, ty: Type::Json, outer_tag: tags.0, tag: tags.1, required, notes, doc_line: self.line };
        self.fields.push((field, code));
        self.line += 1;
        if let Some(last) = self.definitions.last_mut() {
            last.end += 1;
        }
    }

    fn resolve(&mut self, code: &'static str, by_name: &HashMap<&'static str, DefinitionId>) -> Type {
        if let Some(known) = self.lists.get(code) {
            return *known;
        }
        let (head, rest) = code.split_at(1);
        let ty = match head {
            "[" => Type::List(Box::leak(Box::new(self.resolve(rest, by_name)))),
            "{" => Type::Map(Box::leak(Box::new(self.resolve(rest, by_name)))),
            "#" => by_name.get(rest).map_or(Type::Json, |id| Type::Object(*id)),
            "s" => Type::Text,
            "b" => Type::Bool,
            "i" => Type::Int32,
            "l" => Type::Int64,
            "d" => Type::Double,
            "y" => Type::Bytes,
            "t" => Type::Time,
            "m" => Type::MicroTime,
            "u" => Type::Duration,
            "q" => Type::Quantity,
            "o" => Type::IntOrString,
            "r" => Type::RawExtension,
            "f" => Type::FieldsV1,
            "e" => Type::Empty,
            "A" => Type::SchemaOrArray,
            "B" => Type::SchemaOrBool,
            "S" => Type::SchemaOrStrings,
            _ => Type::Json,
        };
        self.lists.insert(code, ty);
        ty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_served_kind_is_in_the_table() {
        for kind in shared::kinds::KINDS {
            let id = table().by_kind(kind).unwrap_or_else(|| panic!("{kind} has no schema"));
            assert!(table().field(id, "metadata").is_some() || kind.kind.ends_with("Review"), "{kind} has no metadata");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_nothing_is_typed_by_accident() {
        let any: Vec<_> = table()
            .definitions()
            .flat_map(|(id, d)| table().fields(id).iter().map(move |f| (d, f)))
            .filter(|(_, f)| f.ty == Type::Json)
            .collect();
        // Only the JSON schemas of custom resources (default, example) hold any JSON; alpha kinds refer to types without fields.
        assert!(any.iter().all(|(d, _)| d.name.ends_with("JSONSchemaProps") || d.name.contains("alpha")), "{any:?}");
    }

    #[test]
    fn a_container_is_described_as_kubernetes_does() {
        let id = table().by_name("io.k8s.api.core.v1.Container").unwrap();
        let ports = table().field(id, "ports").unwrap();
        assert_eq!(ports.merge_key(), Some("containerPort"));
        assert_eq!(ports.list_type(), Some(ListType::Map(vec!["containerPort", "protocol"])));
        let name = table().field(id, "name").unwrap();
        assert!(name.required && name.tag == 1);
        let docs = table().descriptions();
        assert!(docs.of_definition(table().definition(id)).starts_with("A single application container"));
        assert!(docs.of_field(name).starts_with("Name of the container specified as a DNS_LABEL."));
        let user = table().by_name("com.github.openshift.api.user.v1.User").unwrap();
        assert_eq!(docs.of_field(table().field(user, "fullName").unwrap()), "FullName is the full name of the user.");
    }
}
