//! Speaks WebDriver to chromedriver: as much of it as the tests need.
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take to appear.
const APPEAR_MAX: Duration = Duration::from_secs(15);
const START_MAX: Duration = Duration::from_secs(30);
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// Letters of a page that an error repeats.
const SAID_MAX: usize = 1500;
const PAUSE: Duration = Duration::from_millis(20);
/// The name that WebDriver gives to references to elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const ENTER: &str = "\u{E007}";

pub type Outcome<T> = Result<T, String>;

/// Ends the process with its owner, whatever happens.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One browser window.
pub struct Browser {
    client: Client,
    session: String,
    origin: String,
    _driver: Guard,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub async fn start(origin: &str) -> Outcome<Browser> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("chromedriver does not start ({e}); scripts/setup.sh installs it"))?;
        let (driver, profile) = (Guard(driver), tempfile::tempdir().map_err(|e| e.to_string())?);
        let client = Client::builder().timeout(REQUEST_MAX).build().map_err(|e| e.to_string())?;
        let mut browser =
            Browser { client, session: format!("http://127.0.0.1:{port}"), origin: origin.into(), _driver: driver, _profile: profile };
        let began = Instant::now();
        while browser.ask(Method::GET, "/status", None).await.is_err() {
            if began.elapsed() > START_MAX {
                return Err("chromedriver does not answer".into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        let arguments = [
            "--headless=new".to_string(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--window-size=1280,860".into(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"acceptInsecureCerts": true, "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments}}}});
        let made = browser.ask(Method::POST, "/session", Some(wanted)).await?;
        let id = made["sessionId"].as_str().ok_or("no session")?;
        browser.session = format!("{}/session/{id}", browser.session);
        browser.window(1280, 860).await?;
        Ok(browser)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Outcome<Value> {
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|e| format!("{path}: {e}"))?;
        let ok = response.status().is_success();
        let value = response.json::<Value>().await.map_err(|e| format!("{path}: {e}"))?["value"].take();
        if ok { Ok(value) } else { Err(value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_string()) }
    }

    pub async fn open(&self, path: &str) -> Outcome<()> {
        self.ask(Method::POST, "/url", Some(json!({"url": format!("{}{path}", self.origin)}))).await.map(|_| ())
    }

    pub async fn script(&self, text: &str) -> Outcome<Value> {
        self.ask(Method::POST, "/execute/sync", Some(json!({"script": text, "args": []}))).await
    }

    /// A script whose last argument is called with its result.
    pub async fn script_later(&self, text: &str) -> Outcome<Value> {
        self.ask(Method::POST, "/execute/async", Some(json!({"script": text, "args": []}))).await
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, params: Value) -> Outcome<Value> {
        self.ask(Method::POST, "/goog/cdp/execute", Some(json!({"cmd": command, "params": params}))).await
    }

    /// The size that the page has, also below what a window can have.
    pub async fn window(&self, width: u32, height: u32) -> Outcome<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await.map(|_| ())
    }

    /// Waits until an XPath finds something; the error shows what the page says instead.
    pub async fn see(&self, xpath: &str) -> Outcome<String> {
        let began = Instant::now();
        loop {
            let found = self.ask(Method::POST, "/element", Some(json!({"using": "xpath", "value": xpath}))).await;
            match found {
                Ok(element) => return Ok(element[ELEMENT].as_str().unwrap_or_default().to_string()),
                Err(_) if began.elapsed() < APPEAR_MAX => tokio::time::sleep(PAUSE).await,
                Err(_) => {
                    let page = self.script("return document.body.innerText").await?;
                    return Err(format!(
                        "{xpath} does not appear; the page says: {}",
                        page.as_str().unwrap_or_default().chars().take(SAID_MAX).collect::<String>()
                    ));
                }
            }
        }
    }

    /// Clicks, again if the page was drawn anew between finding and clicking.
    pub async fn click(&self, xpath: &str) -> Outcome<()> {
        let began = Instant::now();
        loop {
            let element = self.see(xpath).await?;
            match self.ask(Method::POST, &format!("/element/{element}/click"), Some(json!({}))).await {
                Ok(_) => return Ok(()),
                Err(_) if began.elapsed() < APPEAR_MAX => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(format!("{xpath} cannot be clicked: {error}")),
            }
        }
    }

    pub async fn write(&self, xpath: &str, text: &str) -> Outcome<()> {
        let element = self.see(xpath).await?;
        self.ask(Method::POST, &format!("/element/{element}/value"), Some(json!({"text": text}))).await.map(|_| ())
    }

    /// Keys to whatever has the focus.
    pub async fn keys(&self, text: &str) -> Outcome<()> {
        let one = |c: char| [json!({"type": "keyDown", "value": c.to_string()}), json!({"type": "keyUp", "value": c.to_string()})];
        let actions: Vec<Value> = text.replace('\n', ENTER).chars().flat_map(one).collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask(Method::POST, "/actions", Some(body)).await.map(|_| ())
    }

    /// One key while another is held.
    pub async fn chord(&self, held: &str, key: &str) -> Outcome<()> {
        let step = |kind: &str, value: &str| json!({"type": kind, "value": value});
        let actions = [step("keyDown", held), step("keyDown", key), step("keyUp", key), step("keyUp", held)];
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.ask(Method::POST, "/actions", Some(body)).await.map(|_| ())
    }

    /// The session's cookie as browsers send it; scripts cannot read it.
    pub async fn cookie(&self) -> Outcome<String> {
        let all = self.ask(Method::GET, "/cookie", None).await?;
        let one = |c: &Value| Some(format!("{}={}", c["name"].as_str()?, c["value"].as_str()?));
        let all: Vec<String> = all.as_array().into_iter().flatten().filter_map(one).collect();
        Ok(all.join("; "))
    }

    pub async fn forget_cookies(&self) -> Outcome<()> {
        self.ask(Method::DELETE, "/cookie", None).await.map(|_| ())
    }

    /// What the browser's console complained of since the last time.
    pub async fn complaints(&self) -> Outcome<Vec<String>> {
        let log = self.ask(Method::POST, "/se/log", Some(json!({"type": "browser"}))).await?;
        let bad = log.as_array().into_iter().flatten().filter(|l| l["level"] == "SEVERE");
        Ok(bad.map(|l| l["message"].as_str().unwrap_or_default().to_string()).collect())
    }

    pub async fn screenshot(&self, to: &Path) -> Outcome<()> {
        use base64::Engine;
        let picture = self.ask(Method::GET, "/screenshot", None).await?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
        std::fs::write(to, bytes).map_err(|e| e.to_string())
    }

    /// Ends the browser; the guard ends the driver.
    pub async fn quit(self) {
        let _ = self.ask(Method::DELETE, "", None).await;
    }
}
