//! What is done in the browser, and what must be seen.
use super::driver::{Browser, Outcome};
use super::server::{Runtime, Server};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CHECKS: &str = include_str!("checks.js");
const AXE: &str = "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations \
    .filter(v => ['serious', 'critical'].includes(v.impact)).map(v => ({rule: v.id, says: v.help, at: v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))}))), \
    e => done([String(e)]))";
/// From a change in the API to the page, when somebody else made it; the promise is far below, the machine is shared.
pub const ARRIVE_MAX: Duration = Duration::from_secs(2);
const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"lone"},"spec":{"containers":[{"name":"c","image":"x"}]}}"#;

/// Everything in order; a folder gets screenshots of every page, a file with axe-core judges each.
pub async fn all(binary: &Path, pictures: Option<PathBuf>, axe: Option<PathBuf>) -> Outcome<()> {
    let mut server = Server::start(binary, Runtime::Simulated)?;
    let browser = Browser::start(&server.console).await?;
    let axe = axe.and_then(|file| std::fs::read_to_string(file).ok());
    if axe.is_none() {
        println!("browser: no axe-core here, only our own checks of accessibility");
    }
    let page = Page { browser, pictures, axe };
    let outcome = page.everything(&mut server).await;
    page.browser.quit().await;
    outcome
}

pub fn button(text: &str) -> String {
    format!("//button[normalize-space()='{text}']")
}

pub fn link(text: &str) -> String {
    format!("//a[normalize-space()='{text}']")
}

pub fn field(label: &str) -> String {
    format!("//label[.//span[normalize-space()='{label}']]//*[self::input or self::textarea]")
}

pub struct Page {
    pub browser: Browser,
    pub pictures: Option<PathBuf>,
    /// The source of axe-core.
    pub axe: Option<String>,
}

impl Page {
    async fn everything(&self, server: &mut Server) -> Outcome<()> {
        self.headers().await?;
        self.log_in().await?;
        self.follow_the_tutorial(server).await?;
        self.look_at_objects().await?;
        self.other_sites(server).await?;
        self.around_a_project(server).await?;
        self.create_edit_and_delete().await?;
        self.keyboard_alone().await?;
        self.long_names_and_many(server).await?;
        self.strange_places().await?;
        self.no_complaints().await?;
        self.server_goes_and_comes(server).await?;
        self.session_ends().await?;
        self.log_out().await?;
        self.who_may_little(server).await
    }

    /// A page is in its final state: is it as every page must be, in light and dark, wide and narrow?
    pub async fn good(&self, name: &str) -> Outcome<()> {
        for theme in ["light", "dark"] {
            self.browser.script(&format!("document.documentElement.dataset.theme = '{theme}'")).await?;
            for (size, width) in [("wide", 1280), ("large", 1920), ("small", 360)] {
                self.browser.window(width, 860).await?;
                // Colours fade into each other for a moment.
                let began = Instant::now();
                while self.browser.script("return document.getAnimations().length").await? != 0 && began.elapsed() < ARRIVE_MAX {}
                let wrong = self.browser.script(CHECKS).await?;
                if wrong.as_array().is_none_or(|w| !w.is_empty()) {
                    return Err(format!("{name}, {theme}, {size}: {wrong:#}"));
                }
                if let Some(folder) = &self.pictures {
                    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
                    self.browser.screenshot(&folder.join(format!("{name}-{theme}-{size}.png"))).await?;
                }
            }
            self.judged_by_axe(&format!("{name}, {theme}")).await?;
        }
        self.browser.window(1280, 860).await?;
        self.browser.script("document.documentElement.dataset.theme = 'light'").await?;
        println!("browser: {name} ok");
        Ok(())
    }

    /// No violation that axe-core calls serious or critical.
    async fn judged_by_axe(&self, page: &str) -> Outcome<()> {
        let Some(source) = &self.axe else { return Ok(()) };
        if self.browser.script("return typeof axe").await? == "undefined" {
            self.browser.script(&format!("{source}; window.axe = axe; return 0")).await?;
        }
        let found = self.browser.script_later(AXE).await?;
        if found.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(format!("{page}: axe-core says {found:#}")) }
    }

    async fn log_in(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack").await?;
        b.see(&field("Username")).await?;
        b.click(&button("Log in")).await?;
        b.see("//*[@role='alert'][contains(., 'Enter a username')]").await?;
        b.write(&field("Username"), "no/such").await?;
        b.write(&field("Password"), "secret").await?;
        b.click(&button("Log in")).await?;
        b.see("//*[@role='alert'][contains(., 'Wrong username or password')]").await?;
        self.good("login").await?;
        b.open("/").await?;
        b.write(&field("Username"), "admin").await?;
        b.write(&field("Password"), "admin").await?;
        b.click(&button("Log in")).await?;
        b.see("//h1[.='Projects']").await?;
        b.see("//h2[.='You have no project yet']").await?;
        b.complaints().await.map(|_| ())?;
        let stored = b.script("return document.cookie").await?;
        if stored == "" { Ok(()) } else { Err(format!("scripts can read the cookie: {stored}")) }
    }

    async fn follow_the_tutorial(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        b.click(&format!("//header{}", button("Create project"))).await?;
        b.write(&field("Name"), "hack").await?;
        b.write(&field("Display name"), "Hack Night").await?;
        b.write(&field("Description"), "The Hack Night Demo Project").await?;
        b.click(&button("Create")).await?;
        b.see("//h2[.='This project is empty']").await?;
        b.see("//code[contains(., 'osc create -n hack')]").await?;
        self.good("empty-project").await?;
        // A mark that only a reload of the page would lose.
        b.script("window.unchanged = true").await?;
        for (file, seen) in [
            ("hello-pod.json", "//a[contains(., 'hello-openshift')]//span[contains(., 'Running')]"),
            ("hello-service.json", "//h2[.='hello-openshift']"),
            ("hello-controller.json", "//output[.='1 of 1 ready']"),
        ] {
            server.osc(&["create", "-n", "hack", "-f", &format!("examples/hello-openshift/{file}")])?;
            let began = Instant::now();
            b.see(seen).await?;
            if began.elapsed() > ARRIVE_MAX {
                return Err(format!("{file} took {:?} to arrive on the page", began.elapsed()));
            }
        }
        b.click("//button[@aria-label='One replica more of hello-controller']").await?;
        b.see("//output[.='2 of 2 ready']").await?;
        if b.script("return document.activeElement.getAttribute('aria-label')").await? != "One replica more of hello-controller" {
            return Err("the button lost the focus when the number changed".into());
        }
        server.osc(&["resize", "rc", "hello-controller", "--replicas=3", "-n", "hack"])?;
        b.see("//output[.='3 of 3 ready']").await?;
        if b.script("return window.unchanged").await? != true {
            return Err("the page was loaded anew".into());
        }
        self.good("overview").await
    }

    async fn look_at_objects(&self) -> Outcome<()> {
        let b = &self.browser;
        b.click(&format!("//nav{}", link("Pods"))).await?;
        b.see("//tbody[count(.//a) = 3]").await?;
        b.click("//th//button[starts-with(., 'Age')]").await?;
        b.see("//th[@aria-sort='ascending'][contains(., 'Age')]").await?;
        b.write("//input[@type='search']", "name!=hello-openshift").await?;
        b.see("//h2[contains(., 'match the filter')]").await?;
        b.open("/projects/hack/pods").await?;
        b.see("//tbody[count(.//a) = 3]").await?;
        self.good("pods").await?;
        b.click("(//tbody//a)[1]").await?;
        b.see("//h2[.='Containers']").await?;
        self.good("pod").await?;
        b.click(&format!("//nav[@class='tabs']{}", link("Events"))).await?;
        b.see("//td[contains(., 'Scheduled')] | //td[contains(., 'Started')]").await?;
        self.good("events").await
    }

    async fn create_edit_and_delete(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack/create").await?;
        b.write(&field("Objects"), "kind: Nonsense\napiVersion: v1\n").await?;
        b.click(&format!("//main{}", button("Create"))).await?;
        b.see("//*[@role='alert'][contains(., 'Nonsense')]").await?;
        self.good("create").await?;
        b.open("/projects/hack/create").await?;
        b.write(&field("Objects"), POD).await?;
        b.click(&format!("//main{}", button("Create"))).await?;
        b.see("//li[contains(., '✓ Pod lone')]").await?;
        b.open("/projects/hack/pods/lone/yaml").await?;
        b.see("//textarea").await?;
        let edit = "const t = document.querySelector('textarea'); if (!t.value.includes('  name: lone')) return false; \
            t.value = t.value.replace('metadata:\\n', 'metadata:\\n  labels:\\n    edited: here\\n'); \
            t.dispatchEvent(new Event('input', {bubbles: true})); return true";
        let began = Instant::now();
        while b.script(edit).await? != true {
            if began.elapsed() > ARRIVE_MAX * 5 {
                return Err("the YAML does not appear".into());
            }
        }
        b.click(&button("Review changes")).await?;
        b.see("//pre//span[contains(@class, 'added')][contains(., 'edited: here')]").await?;
        self.good("edit").await?;
        b.click(&button("Save")).await?;
        b.see("//p[.='Saved.']").await?;
        b.open("/projects/hack/pods/lone").await?;
        b.see("//li[contains(., 'edited')]").await?;
        b.click(&button("Delete")).await?;
        b.see("//dialog//button[@type='submit'][@disabled]").await?;
        b.write("//dialog//input", "lone").await?;
        b.click(&format!("//dialog{}", button("Delete"))).await?;
        b.see("//h1[starts-with(., 'Pods')]").await?;
        b.see("//tbody[not(.//a[.='lone'])]").await.map(|_| ())
    }

    /// From the projects to a pod's log with Tab and Enter.
    async fn keyboard_alone(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/").await?;
        b.see("//h2[.='Hack Night']").await?;
        for wanted in ["Hack Night", "Pods", "hello-controller", "Logs"] {
            self.tab_to(wanted).await?;
            b.keys("\n").await?;
            let next = match wanted {
                "Hack Night" => "//h1[.='Overview']",
                "Pods" => "//tbody//a",
                "Logs" => "//pre[@aria-label='Log']",
                _ => "//h2[.='Containers']",
            };
            b.see(next).await?;
        }
        self.good("logs").await
    }

    async fn tab_to(&self, text: &str) -> Outcome<()> {
        const TABS_MAX: usize = 60;
        for _ in 0..TABS_MAX {
            self.browser.keys("\u{E004}").await?;
            let now = self.browser.script("return document.activeElement.innerText || ''").await?;
            if now.as_str().is_some_and(|t| t.starts_with(text)) {
                return Ok(());
            }
        }
        Err(format!("the key Tab does not lead to {text}"))
    }

    async fn strange_places(&self) -> Outcome<()> {
        let b = &self.browser;
        self.no_complaints().await?;
        b.open("/projects/default/pods").await?;
        b.see("//*[@class='problem'][contains(., 'cannot list')]").await?;
        self.good("forbidden").await?;
        b.open("/no/such/place").await?;
        b.see("//h1[contains(., 'no such page')]").await?;
        self.good("unknown").await?;
        b.open("/about").await?;
        b.see("//dd[starts-with(., 'v1.')]").await?;
        self.good("about").await?;
        // The refusal of the forbidden list is the only thing that the browser noted.
        let noted = b.complaints().await?;
        let other: Vec<&String> = noted.iter().filter(|c| !c.contains("403")).collect();
        if other.is_empty() { Ok(()) } else { Err(format!("the browser's console says {other:?}")) }
    }

    async fn no_complaints(&self) -> Outcome<()> {
        let noted = self.browser.complaints().await?;
        // Networks of containers come and go on the machine of the tests; the page copes.
        let other: Vec<&String> = noted.iter().filter(|c| !c.contains("ERR_NETWORK_CHANGED")).collect();
        if other.is_empty() { Ok(()) } else { Err(format!("the browser's console says {other:?}")) }
    }

    async fn server_goes_and_comes(&self, server: &mut Server) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack").await?;
        b.see("//output[.='3 of 3 ready']").await?;
        server.restart()?;
        server.osc(&["resize", "rc", "hello-controller", "--replicas=1", "-n", "hack"])?;
        b.see("//output[.='1 of 1 ready']").await?;
        b.see("//*[@role='status']//span[contains(., 'Live')]").await.map(|_| ())
    }

    /// Whoever must log in again finds the page where it was.
    async fn session_ends(&self) -> Outcome<()> {
        let b = &self.browser;
        b.forget_cookies().await?;
        b.click(&format!("//nav{}", link("Pods"))).await?;
        b.see("//p[contains(., 'session has ended')]").await?;
        b.write(&field("Username"), "admin").await?;
        b.write(&field("Password"), "admin").await?;
        b.click(&button("Log in")).await?;
        b.see("//h1[starts-with(., 'Pods')]").await.map(|_| ())
    }

    async fn log_out(&self) -> Outcome<()> {
        let b = &self.browser;
        b.click(&button("Log out")).await?;
        b.see(&button("Log in")).await?;
        let answer = "return fetch('/api/v1/namespaces/hack/pods').then(r => r.status)";
        let code = b.script(answer).await?;
        if matches!(code.as_u64(), Some(401 | 403)) { Ok(()) } else { Err(format!("after logging out the API answers {code}")) }
    }

    /// What keeps other sites out, on every answer of the console; no other site is ever asked for anything.
    async fn headers(&self) -> Outcome<()> {
        let b = &self.browser;
        b.open("/projects/hack").await?;
        let ask = "const done = arguments[arguments.length - 1]; Promise.all(['/', '/no/such', '/assets/none', document.querySelector('link[rel=stylesheet]').getAttribute('href')].map(p => fetch(p).then(r => \
            ['content-security-policy', 'strict-transport-security', 'x-content-type-options'].map(h => r.headers.get(h) || '').join('|')))).then(done)";
        let answers = b.script_later(ask).await?;
        for headers in answers.as_array().into_iter().flatten() {
            let headers = headers.as_str().unwrap_or_default();
            let wanted = ["'wasm-unsafe-eval'", "frame-ancestors 'none'", "max-age=", "nosniff"];
            if let Some(missing) = wanted.iter().find(|w| !headers.contains(**w)) {
                return Err(format!("{missing} is missing in {headers}"));
            }
        }
        let others = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin))";
        let others = b.script(others).await?;
        b.complaints().await?;
        if others.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(format!("the page asks others: {others}")) }
    }

    async fn long_names_and_many(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        let long = "a-name-as-long-as-they-come-".repeat(10)[..253].trim_end_matches('-').to_string();
        let map = |name: &str| serde_json::json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"app": "x".repeat(63)}}});
        let items: Vec<serde_json::Value> = (0..200).map(|n| map(&format!("many-{n}"))).chain([map(&long)]).collect();
        let list = serde_json::json!({"kind": "List", "apiVersion": "v1", "items": items});
        server.osc_with(&["create", "-n", "hack", "-f", "-"], &list.to_string())?;
        b.open("/projects/hack/configmaps").await?;
        b.see(&format!("//tbody//a[.='{long}']")).await?;
        self.good("many").await?;
        b.open(&format!("/projects/hack/configmaps/{long}")).await?;
        b.see(&format!("//h1[.='{long}']")).await?;
        self.good("long-name").await
    }

    /// Somebody with no right but to look reads sentences, not errors of machines.
    async fn who_may_little(&self, server: &Server) -> Outcome<()> {
        let b = &self.browser;
        server.osc(&["policy", "add-user", "view", "anypassword:eve", "-n", "hack"])?;
        b.open("/projects/hack").await?;
        b.see(&field("Username")).await?;
        // With the keyboard alone: the first field has the focus.
        b.keys("eve\u{E004}any\n").await?;
        b.see("//output[.='1 of 1 ready']").await?;
        b.click("//button[@aria-label='One replica more of hello-controller']").await?;
        b.see("//*[@role='alert'][contains(., 'You may not do this')]").await?;
        self.good("may-not").await?;
        b.open("/projects/hack/secrets").await?;
        b.see("//*[@class='problem'][contains(., 'You may not do this')]").await?;
        b.open("/").await?;
        b.see("//h2[.='Hack Night']").await?;
        b.see("//div[@class='tiles'][count(.//article) = 1]").await.map(|_| ())
    }

    /// The session's cookie is worth nothing in a request that another site made the browser send.
    async fn other_sites(&self, server: &Server) -> Outcome<()> {
        let cookie = self.browser.cookie().await?;
        let api = reqwest::Client::builder()
            .use_rustls_tls()
            .danger_accept_invalid_certs(true)
            .http1_only()
            .build()
            .map_err(|e| e.to_string())?;
        let project = format!("{}/api/v1/namespaces/hack", server.console);
        for (origin, good) in [(server.console.as_str(), true), ("https://evil.example", false)] {
            let body = serde_json::json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "from-a-page"}});
            let post = api.post(format!("{project}/configmaps")).header("cookie", &cookie).header("origin", origin).json(&body);
            let answer = post.send().await.map_err(|e| e.to_string())?;
            if answer.status().is_success() != good {
                return Err(format!("a POST from {origin} is answered {}", answer.status()));
            }
            let socket = api
                .get(format!("{project}/pods/hello-openshift/exec?command=true&stdout=true"))
                .header("cookie", &cookie)
                .header("origin", origin)
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .header("sec-websocket-protocol", "v5.channel.k8s.io");
            let answer = socket.send().await.map_err(|e| e.to_string())?;
            if (answer.status() == 101) != good {
                return Err(format!("a WebSocket from {origin} is answered {}", answer.status()));
            }
        }
        server.osc(&["delete", "configmaps", "from-a-page", "-n", "hack"]).map(|_| ())
    }
}
