//! A shell in a container: keys go to it over a WebSocket, what it draws comes back.
use crate::api::exec::{Exec, Said};
use crate::components::notice::Problem;
use crate::model::keys;
use crate::model::pod::containers;
use leptos::html;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use serde_json::Value;
use std::cell::RefCell;
use std::num::NonZero;
use std::rc::Rc;
use web_sys::{ClipboardEvent, KeyboardEvent};

const ROWS: NonZero<u16> = NonZero::new(28).expect("28 is not 0");
const COLUMNS_MIN: u16 = 20;
const COLUMNS_MAX: u16 = 300;
/// Letters whose width is measured to learn how many fit.
const RULER: &str = "mmmmmmmmmmmmmmmmmmmm";

/// The drawn screen: lines, and where the cursor is in them.
#[derive(Clone, Default, PartialEq)]
struct Screen {
    lines: Vec<String>,
    cursor: (usize, usize),
    application_cursor: bool,
}

#[component]
pub fn Terminal(project: String, pod: String, object: Memo<Option<Value>>) -> impl IntoView {
    let names = Memo::new(move |_| object.with(|o| o.iter().flat_map(containers).map(|c| c.name).collect::<Vec<_>>()));
    let chosen = RwSignal::new(String::new());
    let attempt = RwSignal::new(0_u32);
    let (screen, problem, open) = (RwSignal::new(Screen::default()), RwSignal::new(String::new()), RwSignal::new(false));
    let container = Memo::new(move |_| names.with(|n| n.iter().find(|c| **c == chosen.get()).or(n.first()).cloned()));
    let (view, ruler): (NodeRef<html::Pre>, NodeRef<html::Span>) = (NodeRef::new(), NodeRef::new());
    let link: StoredValue<Option<SendWrapper<Rc<Exec>>>> = StoredValue::new(None);
    let columns = move || columns(view.get_untracked(), ruler.get_untracked());
    Effect::new(move || {
        attempt.track();
        let Some(container) = container.get() else { return };
        if view.get().is_none() || ruler.get().is_none() {
            return;
        }
        problem.set(String::new());
        let emulator = Rc::new(RefCell::new(vt100::Parser::new(ROWS, NonZero::new(columns()).unwrap_or(NonZero::<u16>::MIN), 0)));
        screen.set(drawn(&emulator.borrow()));
        let size = columns();
        let take = move |said: Said| match said {
            Said::Open => open.set(true),
            Said::Output(bytes) => {
                emulator.borrow_mut().process(&bytes);
                screen.set(drawn(&emulator.borrow()));
            }
            Said::Failed(sentence) => problem.set(sentence),
            Said::Closed => open.set(false),
        };
        match Exec::shell(&project, &pod, &container, (size, ROWS.get()), take) {
            Ok(exec) => link.set_value(Some(SendWrapper::new(Rc::new(exec)))),
            Err(sentence) => problem.set(sentence),
        }
        on_cleanup(move || {
            link.try_update_value(|l| l.take());
        });
        if let Some(view) = view.get_untracked() {
            let _ = view.focus();
        }
    });
    let send = move |bytes: &[u8]| link.with_value(|l| l.iter().for_each(|exec| exec.send(bytes)));
    let on_key = move |event: KeyboardEvent| {
        // Shift-Tab leaves the terminal, so that nobody is caught in it.
        let leaves = event.key() == "Tab" && event.shift_key();
        let pastes = event.ctrl_key() && event.shift_key() || event.meta_key();
        if leaves || pastes {
            return;
        }
        let mode = screen.with_untracked(|s| s.application_cursor);
        if let Some(bytes) = keys::bytes(&event.key(), event.ctrl_key(), event.alt_key(), mode) {
            event.prevent_default();
            send(&bytes);
        }
    };
    let on_paste = move |event: ClipboardEvent| {
        if let Some(text) = event.clipboard_data().and_then(|d| d.get_data("text").ok()) {
            event.prevent_default();
            send(text.replace("\r\n", "\r").replace('\n', "\r").as_bytes());
        }
    };
    let resized = window_event_listener(leptos::ev::resize, move |_| {
        link.with_value(|l| l.iter().for_each(|exec| exec.resize(columns(), ROWS.get())));
    });
    on_cleanup(move || resized.remove());
    let options = move || names.get().into_iter().map(|n| view! { <option value=n.clone()>{n.clone()}</option> }).collect_view();
    view! {
        <div class="toolbar">
            <label>"Container "<select on:change=move |e| chosen.set(event_target_value(&e))>{options}</select></label>
            <span class="hint" role="status">{move || if open.get() { "Connected. Shift+Tab leaves the terminal." } else { "Not connected." }}</span>
            <button type="button" disabled=move || open.get() on:click=move |_| attempt.update(|a| *a += 1)>"Reconnect"</button>
        </div>
        <Problem text=problem />
        <span class="ruler" aria-hidden="true" node_ref=ruler>{RULER}</span>
        <pre class="log terminal" node_ref=view tabindex="0" role="textbox" aria-multiline="true" aria-label="Terminal" on:keydown=on_key on:paste=on_paste>
            {move || screen.with(lines)}
        </pre>
    }
}

fn drawn(parser: &vt100::Parser) -> Screen {
    let screen = parser.screen();
    let (row, column) = screen.cursor_position();
    let width = screen.size().1;
    Screen {
        lines: screen.rows(0, width.get()).collect(),
        cursor: (usize::from(row), usize::from(column)),
        application_cursor: screen.application_cursor(),
    }
}

fn lines(screen: &Screen) -> impl IntoView + use<> {
    let line = |(row, text): (usize, &String)| {
        if row != screen.cursor.0 {
            return view! { <span class="line">{format!("{text}\n")}</span> }.into_any();
        }
        let letters: Vec<char> =
            text.chars().chain(std::iter::repeat_n(' ', (screen.cursor.1 + 1).saturating_sub(text.chars().count()))).collect();
        let part = |from: usize, to: usize| letters[from.min(letters.len())..to.min(letters.len())].iter().collect::<String>();
        let at = screen.cursor.1;
        view! { <span class="line">{part(0, at)}<span class="cursor">{part(at, at + 1)}</span>{part(at + 1, letters.len())}"\n"</span> }
            .into_any()
    };
    screen.lines.iter().enumerate().map(line).collect_view()
}

/// How many letters fit beside each other.
fn columns(view: Option<web_sys::HtmlPreElement>, ruler: Option<web_sys::HtmlSpanElement>) -> u16 {
    let (Some(view), Some(ruler)) = (view, ruler) else { return 80 };
    let letter = ruler.get_bounding_client_rect().width() / RULER.len() as f64;
    let room = f64::from(view.client_width()) - 32.0;
    if letter <= 0.0 { 80 } else { ((room / letter) as u16).clamp(COLUMNS_MIN, COLUMNS_MAX) }
}
