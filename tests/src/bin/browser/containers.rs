//! What needs real containers: the tutorial with a kill, terminal, logs, previous logs, usage.
use super::driver::{Browser, Outcome};
use super::server::{Runtime, Server};
use super::steps::{Page, button, field, link};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A controller of one container that says its name and a number every second.
fn talker(image: &str) -> Value {
    let program = "echo begun-$(date +%s%N); n=0; while true; do n=$((n+1)); echo \"line $n of $HOSTNAME\"; sleep 1; done";
    let container = json!({"name": "a", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", program]});
    let template =
        json!({"metadata": {"labels": {"app": "talk"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}});
    json!({"kind": "ReplicationController", "apiVersion": "v1", "metadata": {"name": "talk"},
        "spec": {"replicas": 2, "selector": {"app": "talk"}, "template": template}})
}

/// Everything in order.
pub async fn all(binary: &Path, image: &str) -> Outcome<()> {
    let server = Server::start(binary, Runtime::Docker)?;
    let browser = Browser::start(&server.console).await?;
    let page = Page { browser, pictures: None, axe: None };
    let outcome = page.with_containers(&server, image).await;
    page.browser.quit().await;
    let cleaned = server.clean();
    outcome.and(cleaned)
}

impl Page {
    async fn with_containers(&self, server: &Server, image: &str) -> Outcome<()> {
        self.first_login().await?;
        server.osc(&["new-project", "hack"])?;
        server.osc_with(&["create", "-n", "hack", "-f", "-"], &talker(image).to_string())?;
        self.kill_one(server).await?;
        self.logs(server).await?;
        self.terminal(server).await?;
        self.usage(server).await
    }

    async fn first_login(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack").await?;
        b.write(&field("Username"), "admin").await?;
        b.write(&field("Password"), "admin").await?;
        b.click(&button("Log in")).await?;
        b.see("//button[.='Log out']").await.map(|_| ())
    }

    /// A container that dies is seen to come back, without loading anything.
    async fn kill_one(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        server.osc(&["policy", "add-user", "admin", "anypassword:admin", "-n", "hack"])?;
        b.open("/projects/hack").await?;
        b.see("//output[.='2 of 2 ready']").await?;
        b.script("window.unchanged = true").await?;
        b.open_here("/projects/hack/pods").await?;
        let pod = self.first_pod(server)?;
        let id = server.osc(&["get", "pods", &pod, "-n", "hack", "-o", "jsonpath={.status.containerStatuses[0].containerID}"])?;
        let id = id.trim().trim_start_matches("docker://").to_string();
        let killed = Command::new("docker").args(["kill", &id]).output().map_err(|e| e.to_string())?;
        if !killed.status.success() {
            return Err(format!("docker kill {id}: {}", String::from_utf8_lossy(&killed.stderr)));
        }
        b.see(&format!("//tr[.//a[.='{pod}']][./td[starts-with(., '1 ')]][./td[contains(., 'Running')]]")).await?;
        if b.script("return window.unchanged").await? == true { Ok(()) } else { Err("the page was loaded anew".into()) }
    }

    async fn logs(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        let pod = self.first_pod(server)?;
        b.open(&format!("/projects/hack/pods/{pod}/logs")).await?;
        b.see(&format!("//pre[@aria-label='Log'][contains(., 'line 1 of {pod}')]")).await?;
        // What comes while somebody looks is shown too.
        let last = "const all = document.querySelector('pre.log').innerText.match(/line \\d+/g); return +all[all.length - 1].slice(5)";
        let next = b.script(last).await?.as_u64().unwrap_or_default() + 2;
        b.see(&format!("//pre[@aria-label='Log'][contains(., 'line {next} of {pod}')]")).await?;
        // The first run was killed: what it said is the previous log.
        let begun = "return document.querySelector('pre.log').innerText.match(/begun-\\d+/)?.[0] ?? ''";
        let now = b.script(begun).await?;
        let now = now.as_str().unwrap_or_default();
        b.click("//label[contains(., 'Previous run')]/input").await?;
        b.see(&format!("//pre[@aria-label='Log'][contains(., 'begun-')][not(contains(., '{now}'))]")).await?;
        b.open("/projects/hack/replicationcontrollers/talk/logs").await?;
        b.see("//*[@role='status'][.='2 containers']").await?;
        b.see(&format!("//pre[@aria-label='Log']//span[@class='source'][contains(., '{pod}')]")).await?;
        b.write("//input[@aria-label='Only lines with']", "line 3").await?;
        b.see("//pre[@aria-label='Log']//mark[.='line 3']").await.map(|_| ())
    }

    async fn terminal(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        let pod = self.first_pod(server)?;
        b.open(&format!("/projects/hack/pods/{pod}/terminal")).await?;
        b.see("//*[@role='status'][contains(., 'Connected')]").await?;
        b.click("//pre[@aria-label='Terminal']").await?;
        b.keys("echo answer-$((6*7))\n").await?;
        b.see("//pre[@aria-label='Terminal']/span[starts-with(., 'answer-42')]").await?;
        b.keys("printf '\\033[31mred\\033[0m\\n'\n").await?;
        b.see("//pre[@aria-label='Terminal']//span[@class='f1'][.='red']").await?;
        let wide = self.columns("wide").await?;
        b.window(700, 860).await?;
        b.see("//pre[@aria-label='Terminal']").await?;
        let narrow = self.columns("narrow").await?;
        b.window(1280, 860).await?;
        if narrow >= wide {
            return Err(format!("the terminal has {wide} columns, and {narrow} in a narrow window"));
        }
        // What has gone by is found again.
        b.keys("for i in 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5 6 7 8 9; do echo past-$i$j; done; done\n").await?;
        b.see("//pre[@aria-label='Terminal']/span[starts-with(., 'past-99')]").await?;
        for _ in 0..4 {
            b.chord("\u{E008}", "\u{E00E}").await?;
        }
        b.see("//pre[@aria-label='Terminal']/span[starts-with(., 'past-20')]").await.map(|_| ())
    }

    /// What the shell thinks that its window is.
    async fn columns(&self, mark: &str) -> Outcome<u32> {
        let b = &self.browser;
        // bash learns the size after a command.
        b.keys(&format!("true\necho {mark}-$COLUMNS.\n")).await?;
        b.see(&format!("//pre[@aria-label='Terminal']/span[starts-with(., '{mark}-')][contains(., '.')]")).await?;
        let find =
            format!("return [...document.querySelectorAll('pre.terminal .line')].map(l => l.innerText).find(t => t.startsWith('{mark}-'))");
        let line = b.script(&find).await?;
        let number = line.as_str().unwrap_or_default().trim().trim_start_matches(&format!("{mark}-")).trim_end_matches('.').parse();
        number.map_err(|_| format!("{line} says no number of columns"))
    }

    async fn usage(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        let pod = self.first_pod(server)?;
        b.open(&format!("/projects/hack/pods/{pod}")).await?;
        b.see("//figure[contains(., 'Memory')][contains(., 'iB')]").await?;
        b.see("//figure[contains(., 'CPU')][contains(., 'core')]").await?;
        println!("browser: containers ok");
        Ok(())
    }

    fn first_pod(&self, server: &Server) -> Outcome<String> {
        let names = server.osc(&["get", "pods", "-n", "hack", "-l", "app=talk", "-o", "jsonpath={.items[*].metadata.name}"])?;
        names.split_whitespace().next().map(str::to_string).ok_or("there is no pod".into())
    }
}

/// A link of the page itself.
impl Browser {
    async fn open_here(&self, path: &str) -> Outcome<()> {
        self.click(&format!("//nav//a[@href='{path}']")).await?;
        self.see(&format!("//nav{}[@aria-current='page']", link("Pods"))).await.map(|_| ())
    }
}
