//! Asks the server once which kinds it has beyond those that the console was built with.
use crate::api::fetch;
use crate::model::known;
use crate::model::route::Route;
use crate::state::nav::Nav;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::Value;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList, application/json";

/// Counts up when new kinds are known.
#[derive(Clone, Copy)]
pub struct Discovered(pub RwSignal<u32>);

impl Discovered {
    /// Asks; an address that meant nothing may mean something afterwards.
    pub fn start(nav: Nav) -> Discovered {
        let discovered = Discovered(RwSignal::new(0));
        spawn_local(async move {
            let mut new = false;
            for path in ["/api", "/apis"] {
                if let Ok(text) = fetch::text("GET", path, None, AGGREGATED).await {
                    new |= serde_json::from_str::<Value>(&text).is_ok_and(|d| known::learn(&d));
                }
            }
            if new {
                discovered.0.update(|n| *n += 1);
                if let Route::Unknown(path) = nav.0.get_untracked() {
                    nav.0.set(Route::parse(&path));
                }
            }
        });
        discovered
    }
}
