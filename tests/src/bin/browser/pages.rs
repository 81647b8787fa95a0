//! The pages around a project: topology, settings, search and palette, kinds; restart, merged changes, checks while typing.
use super::driver::Outcome;
use super::server::Server;
use super::steps::{ARRIVE_MAX, Page, button, field, link};
use std::time::Instant;

const CONTROL: &str = "\u{E009}";
const QUOTA: &str = r#"{"kind":"List","apiVersion":"v1","items":[
    {"kind":"ResourceQuota","apiVersion":"v1","metadata":{"name":"all"},"spec":{"hard":{"pods":"5","services":"1","secrets":"9"}}},
    {"kind":"LimitRange","apiVersion":"v1","metadata":{"name":"limits"},"spec":{"limits":[{"type":"Container","max":{"memory":"1Gi"}}]}}]}"#;

impl Page {
    pub async fn around_a_project(&self, server: &Server) -> Outcome<()> {
        self.topology().await?;
        self.settings(server).await?;
        self.search_and_palette().await?;
        self.kinds().await?;
        self.restart_and_logs().await?;
        self.two_people_edit(server).await?;
        self.checks_while_typing().await
    }

    async fn topology(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/topology").await?;
        b.see("//a[@data-node='service/hello-openshift'][.//code[contains(., ':27017')]]").await?;
        b.see("//a[@data-node='replicationcontroller/hello-controller'][contains(., '3 of 3 ready')]").await?;
        b.script("document.querySelector('[data-node]').focus()").await?;
        b.keys("\u{E014}").await?;
        let now = b.script("return document.activeElement.dataset.node").await?;
        if now != "replicationcontroller/hello-controller" {
            return Err(format!("the right arrow key leads from the service to {now}"));
        }
        b.click("//summary[.='The same as a table']").await?;
        b.see("//table//tr[.//a[.='hello-controller']]/td[contains(., 'hello-openshift')]").await?;
        self.good("topology").await
    }

    async fn settings(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/settings").await?;
        b.see("//p[contains(., 'No quota')]").await?;
        server.osc_with(&["create", "-n", "hack", "-f", "-"], QUOTA)?;
        b.see("//*[@role='meter'][@aria-label='services'][@aria-valuenow='100'][contains(@aria-valuetext, 'used up')]").await?;
        b.see("//*[@role='meter'][@aria-label='pods'][@aria-valuenow='60']").await?;
        b.see("//dd[contains(., 'at most 1Gi')]").await?;
        b.write(&field("Name"), "bob").await?;
        b.click(&button("Add member")).await?;
        b.see("//tr[./th[.='bob']][./td[.='view']]").await?;
        b.see("//*[@role='status']//code[.='openshift ex policy add-user view bob -n hack']").await?;
        let said = server.osc(&["policy", "who-can", "get", "pods", "-n", "hack"]);
        if !said.as_ref().is_ok_and(|s| s.contains("bob")) {
            return Err(format!("bob is no member for the server: {said:?}"));
        }
        self.good("settings").await?;
        b.click("//button[@aria-label='Take the role view from bob']").await?;
        b.see("//tbody[not(.//th[.='bob'])]").await?;
        server.osc(&["delete", "quota", "all", "-n", "hack"])?;
        server.osc(&["delete", "limits", "limits", "-n", "hack"]).map(|_| ())
    }

    async fn search_and_palette(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/search/hello").await?;
        b.see("//tr[.//a[.='hello-openshift']]/td[.='Service in hack']").await?;
        self.good("search").await?;
        b.open("/about").await?;
        b.see("//h1[.='About']").await?;
        b.chord(CONTROL, "k").await?;
        b.see("//dialog[@open]//input[@role='combobox']").await?;
        b.keys("hello-contr").await?;
        b.see("//li[@role='option'][@aria-selected='true'][contains(., 'hello-controller')]").await?;
        self.good("palette").await?;
        b.keys("\n").await?;
        b.see("//h1[.='hello-controller']").await?;
        b.chord(CONTROL, "k").await?;
        b.see("//dialog[@open]//input[@role='combobox']").await?;
        b.keys("\u{E00C}").await?;
        b.see("//dialog[@class='palette'][not(@open)]").await.map(|_| ())
    }

    async fn kinds(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/kinds").await?;
        b.see("//section[./h2[.='discovery.k8s.io']]//a[starts-with(., 'Endpoint Slices')]").await?;
        self.good("kinds").await
    }

    async fn restart_and_logs(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/replicationcontrollers/hello-controller").await?;
        b.click(&button("Restart")).await?;
        b.see("//*[@role='status']//code[starts-with(., 'osc delete pods -l')]").await?;
        b.click(&format!("//nav[@class='tabs']{}", link("Logs"))).await?;
        b.see("//*[@role='status'][.='3 containers']").await?;
        self.good("merged-logs").await?;
        b.open("/projects/hack/pods").await?;
        b.see("//tbody[count(.//a) = 3][count(.//td[contains(., 'Running')]) = 3]").await?;
        b.click("(//tbody//a)[1]").await?;
        b.click("//summary[contains(., 'variables')]").await?;
        b.see("//dl/div[./dt[.='HELLO_OPENSHIFT_SERVICE_PORT']]/dd[starts-with(., '27017')]").await?;
        self.good("pod-environment").await
    }

    /// Nothing that either wrote is lost.
    async fn two_people_edit(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/services/hello-openshift/yaml").await?;
        self.edit_text("  annotations:\\n", "  annotations:\\n    mine: here\\n").await?;
        b.see("//p[@role='status'][contains(., 'would take this')]").await?;
        server.osc(&["label", "services", "hello-openshift", "theirs=there", "-n", "hack"])?;
        b.click(&button("Review changes")).await?;
        b.see("//*[@role='alert'][contains(., 'Somebody else')]").await?;
        b.click(&button("Merge with theirs")).await?;
        b.see("//pre//span[contains(@class, 'added')][contains(., 'mine: here')]").await?;
        b.click(&button("Save")).await?;
        b.see("//p[.='Saved.']").await?;
        let now = server.osc(&["get", "services", "hello-openshift", "-n", "hack", "-o", "yaml"])?;
        if now.contains("mine: here") && now.contains("theirs: there") { Ok(()) } else { Err(format!("a change is lost: {now}")) }
    }

    async fn checks_while_typing(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/pods").await?;
        b.see("//tbody//a").await?;
        b.open("/projects/hack/create").await?;
        let bad = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"Not A Name"},"spec":{"containers":[{"name":"c","image":"x"}]}}"#;
        b.write(&field("Objects"), bad).await?;
        b.see("//li[@class='bad'][contains(., 'metadata.name')]").await?;
        let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        std::fs::write(file.path(), bad.replace("Not A Name", "from-a-file")).map_err(|e| e.to_string())?;
        b.write("//input[@type='file']", &file.path().display().to_string()).await?;
        b.see("//li[@class='good'][contains(., 'Pod from-a-file can be created')]").await?;
        // Who goes on before the check is due leaves nothing behind that would stop the page.
        b.write(&field("Objects"), "kind: Pod").await?;
        b.click(&format!("//nav{}", link("Services"))).await?;
        b.see("//tbody//a[.='hello-openshift']").await?;
        b.script_later("setTimeout(arguments[arguments.length - 1], 1000)").await?;
        b.click(&format!("//nav{}", link("Pods"))).await?;
        b.see("//h1[starts-with(., 'Pods')]").await?;
        // The dry runs that were refused are in the browser's log, as they should be.
        let noted = b.complaints().await?;
        let other: Vec<&String> =
            noted.iter().filter(|c| !c.contains("422") && !c.contains("409") && !c.contains("ERR_NETWORK_CHANGED")).collect();
        if other.is_empty() { Ok(()) } else { Err(format!("the browser's console says {other:?}")) }
    }

    /// Replaces a piece of the text that is edited, as typing would.
    async fn edit_text(&self, from: &str, to: &str) -> Outcome<()> {
        let edit = format!(
            "const t = document.querySelector('textarea'); if (!t || !t.value.includes('{from}')) return false; \
             t.value = t.value.replace('{from}', '{to}'); t.dispatchEvent(new Event('input', {{bubbles: true}})); return true"
        );
        let began = Instant::now();
        while self.browser.script(&edit).await? != true {
            if began.elapsed() > ARRIVE_MAX * 5 {
                return Err("the text does not appear".into());
            }
        }
        Ok(())
    }
}
