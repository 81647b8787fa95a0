//! Go's text templates over JSON: the subset that `-t` users write, with Go's words for values and mistakes.
mod eval;
mod lex;
mod parse;
mod value;

use serde_json::Value;

/// Runs the template over the object. Fields that `value` lacks are looked up in `other` (the same object in another
/// version's form).
pub fn render(template: &str, value: &Value, other: &Value) -> Result<String, String> {
    Template::parse(template)?.render(value, Some(other))
}

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    pub fn parse(text: &str) -> Result<Template, String> {
        parse::parse(text).map(|nodes| Template { nodes })
    }

    /// Runs over `main`; members that `main` lacks are looked up at the same place of `other`.
    pub fn render(&self, main: &Value, other: Option<&Value>) -> Result<String, String> {
        eval::render(&self.nodes, main, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(template: &str, data: Value) -> String {
        Template::parse(template).and_then(|t| t.render(&data, None)).unwrap_or_else(|e| format!("ERROR {e}"))
    }

    #[test]
    fn the_tutorials_template() {
        let old = json!({"id":"hello-openshift","portalIP":"172.30.17.81","port":80});
        let new = json!({"metadata":{"name":"hello-openshift"},"spec":{"clusterIP":"172.30.17.81"}});
        let t = Template::parse("{{ .portalIP}}:{{ .port}} {{.spec.clusterIP}} {{.metadata.name}} {{.nosuch}}").expect("parses");
        assert_eq!(t.render(&old, Some(&new)).expect("renders"), "172.30.17.81:80 172.30.17.81 hello-openshift <no value>");
    }

    #[test]
    fn values_print_as_go_prints_them() {
        let data = json!({"m":{"b":1,"a":"x"},"l":[1,"two",true,null],"f":1.5,"n":null,"big":67108864,"nested":{"big":67108864}});
        assert_eq!(
            run("{{.m}} {{.l}} {{.f}} {{.n}} {{.big}} {{.nested}}", data),
            "map[a:x b:1] [1 two true <nil>] 1.5 <no value> 67108864 map[big:6.7108864e+07]"
        );
    }

    #[test]
    fn ranges_conditions_and_variables() {
        let data = json!({"items":[{"n":"a","v":1},{"n":"b","v":2}],"map":{"y":2,"x":1},"empty":[]});
        assert_eq!(run("{{range .items}}{{.n}}={{.v}};{{end}}", data.clone()), "a=1;b=2;");
        assert_eq!(run("{{range $i, $e := .items}}{{if $i}}, {{end}}{{$e.n}}{{end}}", data.clone()), "a, b");
        assert_eq!(run("{{range $k, $v := .map}}{{$k}}{{$v}} {{end}}", data.clone()), "x1 y2 ");
        assert_eq!(run("{{range .empty}}x{{else}}none{{end}}", data.clone()), "none");
        assert_eq!(run("{{if .nosuch}}a{{else if .items}}b{{else}}c{{end}}", data.clone()), "b");
        assert_eq!(run("{{with .map}}{{.x}}{{end}}{{with .nosuch}}x{{else}}y{{end}}", data.clone()), "1y");
        assert_eq!(run("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}} {{(index .items 1).n}}", data.clone()), "2 b");
        assert_eq!(run("{{range .items}}{{if eq .v 1}}{{continue}}{{end}}{{.n}}{{$.map.x}}{{end}}", data), "b1");
    }

    #[test]
    fn functions() {
        let data = json!({"id":"pod-b1","l":["a","b"],"m":{"k":{"d":1}},"b":"aGk=","n":3});
        assert_eq!(run("{{len .id}} {{len .l}} {{index .l 0}} {{index .m \"k\" \"d\"}}", data.clone()), "6 2 a 1");
        assert_eq!(run("{{exists . \"m\" \"k\"}} {{exists . \"m\" \"q\"}} {{exists .nope \"x\"}}", data.clone()), "true false false");
        assert_eq!(
            run("{{.b | base64decode}} {{printf \"%s-%d-%v-%q-%03d|%5s|%-5s|\" .id .n .l .b .n \"x\" \"y\"}}", data.clone()),
            "hi pod-b1-3-[a b]-\"aGk=\"-003|    x|y    |"
        );
        assert_eq!(
            run("{{and .id .n}} {{or .zz \"d\"}} {{not .id}} {{eq .n 1 2 3}} {{ne .n 3}} {{lt .n 4}} {{ge .n 4}}", data.clone()),
            "3 d false true false true false"
        );
        assert_eq!(run("{{println .id}}{{print 1 2 \"a\"}} {{html \"<a>\"}} {{js \"a'b\"}}", data.clone()), "pod-b1\n1 2a &lt;a&gt; a\\'b");
        assert_eq!(run("{{define \"x\"}}[{{.}}]{{end}}{{range .l}}{{template \"x\" .}}{{end}}", data), "[a][b]");
    }

    #[test]
    fn blanks_comments_and_quoting() {
        assert_eq!(run("a \n{{- 1 -}} \n b{{/* c */}}{{`raw`}}{{\"q\\n\"}}{{'a'}}", json!({})), "a1braw".to_owned() + "q\n97");
        assert_eq!(run("a  {{- /* c */ -}}  b", json!({})), "ab");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |t: &str| Template::parse(t).and_then(|t| t.render(&json!({"s":"x"}), None)).expect_err("must fail");
        assert!(error("{{bad").contains("unclosed action") || error("{{bad").contains("function \"bad\" not defined"));
        assert!(error("{{bad}}").contains("function \"bad\" not defined"));
        assert!(error("{{if .x}}").contains("unexpected EOF"));
        assert!(error("{{end}}").contains("unexpected {{end}}"));
        assert!(error("{{.s.t}}").contains("can't evaluate field t"));
        assert!(error("{{$q}}").contains("undefined variable"));
        assert!(error("{{index .s 9}}").contains("out of range"));
    }

    #[test]
    fn depth_has_an_end() {
        let deep = format!("{}{}", "{{if 1}}".repeat(10_000), "{{end}}".repeat(10_000));
        assert!(Template::parse(&deep).is_err());
        assert!(Template::parse(&format!("{{{{{}1{}}}}}", "(".repeat(10_000), ")".repeat(10_000))).is_err());
        assert!(run("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}", json!({})).contains("ERROR"));
    }

    fn go(template: &str) -> String {
        let old =
            json!({"portalIP": "172.30.0.5", "port": 27017, "items": [{"id": "a"}, {"id": "b"}], "labels": {"x": "y"}, "data": "aGk="});
        let new = json!({"spec": {"clusterIP": "172.30.0.5"}, "items": []});
        render(template, &old, &new).unwrap_or_else(|e| format!("error: {e}"))
    }

    #[test]
    fn the_tutorials_template_and_todays_fields() {
        assert_eq!(go("{{ .portalIP}}:{{ .port}}"), "172.30.0.5:27017");
        assert_eq!(go("{{.spec.clusterIP}}"), "172.30.0.5");
        assert_eq!(go("{{.missing}}"), "<no value>");
    }

    #[test]
    fn blocks_functions_and_variables() {
        assert_eq!(go("{{range .items}}{{.id}} {{end}}"), "a b ");
        assert_eq!(go("{{range $i, $e := .items}}{{$i}}{{$e.id}}{{end}}"), "0a1b");
        assert_eq!(go("{{if eq .port 27017}}yes{{else}}no{{end}}"), "yes");
        assert_eq!(go("{{if .missing}}a{{else if .port}}b{{else}}c{{end}}"), "b");
        assert_eq!(go("{{with .labels}}{{.x}}{{end}}{{len .items}}"), "y2");
        assert_eq!(go("{{ .port | printf \"%v!\" }} {{- \"x\" -}}  z"), "27017!xz");
        assert_eq!(go("{{(index .items 1).id}}{{base64decode .data}}"), "bhi");
        assert_eq!(go("{{$v := .port}}{{$v}}"), "27017");
        assert!(go("{{range .items}}").starts_with("error"));
        assert!(go("{{nonsense 1}}").starts_with("error"));
    }
}
