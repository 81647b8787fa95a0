//! Where the reader is, kept equal to the address bar.
use crate::model::route::Route;
use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlAnchorElement, MouseEvent};

#[derive(Clone, Copy)]
pub struct Nav(pub RwSignal<Route>);

impl Nav {
    /// Begins at the address of the page; links within the console and Back go on without loading anything.
    pub fn start() -> Nav {
        let nav = Nav(RwSignal::new(Route::parse(&address())));
        let back = window_event_listener(ev::popstate, move |_| nav.0.set(Route::parse(&address())));
        let click = window_event_listener(ev::click, move |event| nav.clicked(&event));
        on_cleanup(move || {
            back.remove();
            click.remove();
        });
        Effect::new(move || document().set_title(&nav.0.with(Route::title)));
        nav
    }

    /// Goes somewhere else.
    pub fn go(self, route: Route) {
        if let Ok(history) = window().history() {
            let _ = history.push_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&route.path()));
        }
        self.0.set(route);
        window().scroll_to_with_x_and_y(0.0, 0.0);
    }

    fn clicked(self, event: &MouseEvent) {
        let special = event.ctrl_key() || event.meta_key() || event.shift_key() || event.button() != 0 || event.default_prevented();
        let target = event.target().and_then(|t| t.dyn_into::<web_sys::Element>().ok());
        let Some(link) = target.and_then(|t| t.closest("a[href]").ok().flatten()).and_then(|l| l.dyn_into::<HtmlAnchorElement>().ok())
        else {
            return;
        };
        let here = window().location().origin().unwrap_or_default();
        let route = Route::parse(&link.pathname());
        let ours = link.origin() == here && link.hash().is_empty() && !matches!(route, Route::Unknown(_));
        if special || !ours {
            return;
        }
        event.prevent_default();
        self.go(route);
    }
}

fn address() -> String {
    window().location().pathname().unwrap_or_else(|_| "/".into())
}

/// Where the reader is and how to go elsewhere.
pub fn nav() -> Nav {
    expect_context()
}
