//! A shell in a container: keys go to it over a WebSocket, what it draws comes back.
use crate::api::exec::{Exec, Said};
use crate::components::notice::Problem;
use crate::model::keys;
use crate::model::pod::containers;
use crate::model::screen::{Run, lines};
use leptos::html;
use leptos::prelude::*;
use send_wrapper::SendWrapper;
use serde_json::Value;
use std::cell::RefCell;
use std::num::NonZero;
use std::rc::Rc;
use web_sys::{ClipboardEvent, KeyboardEvent, WheelEvent};

const ROWS: NonZero<u16> = NonZero::new(28).expect("28 is not 0");
const COLUMNS_MIN: u16 = 20;
const COLUMNS_MAX: u16 = 300;
/// Letters whose width is measured to learn how many fit.
const RULER: &str = "mmmmmmmmmmmmmmmmmmmm";

/// Lines of the past that can be scrolled back to.
const PAST_MAX: usize = 2000;
/// Lines for a notch of the wheel, and for Shift and Page Up.
const WHEEL_LINES: usize = 3;
const PAGE_LINES: usize = 20;

/// The drawn screen.
#[derive(Clone, Default, PartialEq)]
struct Screen {
    lines: Vec<Vec<Run>>,
    application_cursor: bool,
    /// How many lines back in the past it stands.
    back: usize,
}

type Emulator = SendWrapper<Rc<RefCell<vt100::Parser>>>;

#[component]
pub fn Terminal(project: String, pod: String, object: Memo<Option<Value>>) -> impl IntoView {
    let names = Memo::new(move |_| object.with(|o| o.iter().flat_map(containers).map(|c| c.name).collect::<Vec<_>>()));
    let chosen = RwSignal::new(String::new());
    let attempt = RwSignal::new(0_u32);
    let (screen, problem, open) = (RwSignal::new(Screen::default()), RwSignal::new(String::new()), RwSignal::new(false));
    let container = Memo::new(move |_| names.with(|n| n.iter().find(|c| **c == chosen.get()).or(n.first()).cloned()));
    let (view, ruler): (NodeRef<html::Pre>, NodeRef<html::Span>) = (NodeRef::new(), NodeRef::new());
    let link: StoredValue<Option<SendWrapper<Rc<Exec>>>> = StoredValue::new(None);
    let emulated = StoredValue::new(emulator(80));
    let columns = move || columns(view.get_untracked(), ruler.get_untracked());
    Effect::new(move || {
        attempt.track();
        let Some(container) = container.get() else { return };
        if view.get().is_none() || ruler.get().is_none() {
            return;
        }
        problem.set(String::new());
        let size = columns();
        let new = emulator(size);
        emulated.set_value(new.clone());
        screen.set(drawn(&new.borrow()));
        let take = move |said: Said| match said {
            Said::Open => open.set(true),
            Said::Output(bytes) => {
                new.borrow_mut().process(&bytes);
                screen.set(drawn(&new.borrow()));
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
    let scroll = move |by: isize| {
        emulated.with_value(|e| {
            let mut parser = e.borrow_mut();
            let back = parser.screen().scrollback().saturating_add_signed(by);
            parser.screen_mut().set_scrollback(back);
            screen.set(drawn(&parser));
        });
    };
    let send = move |bytes: &[u8]| link.with_value(|l| l.iter().for_each(|exec| exec.send(bytes)));
    let on_key = move |event: KeyboardEvent| {
        // Shift-Tab leaves the terminal, so that nobody is caught in it.
        let leaves = event.key() == "Tab" && event.shift_key();
        let pastes = event.ctrl_key() && event.shift_key() || event.meta_key();
        if leaves || pastes {
            return;
        }
        let page = match event.key().as_str() {
            "PageUp" if event.shift_key() => PAGE_LINES.cast_signed(),
            "PageDown" if event.shift_key() => -PAGE_LINES.cast_signed(),
            _ => 0,
        };
        if page != 0 {
            event.prevent_default();
            return scroll(page);
        }
        let mode = screen.with_untracked(|s| s.application_cursor);
        if let Some(bytes) = keys::bytes(&event.key(), event.ctrl_key(), event.alt_key(), mode) {
            event.prevent_default();
            // Who types wants to see what he types.
            scroll(isize::MIN / 2);
            send(&bytes);
        }
    };
    let on_wheel = move |event: WheelEvent| {
        let lines = if event.delta_y() < 0.0 { WHEEL_LINES.cast_signed() } else { -WHEEL_LINES.cast_signed() };
        let now = screen.with_untracked(|s| s.back);
        scroll(lines);
        // At either end the page scrolls on.
        if screen.with_untracked(|s| s.back) != now {
            event.prevent_default();
        }
    };
    let on_paste = move |event: ClipboardEvent| {
        if let Some(text) = event.clipboard_data().and_then(|d| d.get_data("text").ok()) {
            event.prevent_default();
            send(text.replace("\r\n", "\r").replace('\n', "\r").as_bytes());
        }
    };
    let resized = window_event_listener(leptos::ev::resize, move |_| {
        let size = columns();
        link.with_value(|l| l.iter().for_each(|exec| exec.resize(size, ROWS.get())));
        emulated.with_value(|e| {
            let mut parser = e.borrow_mut();
            parser.screen_mut().set_size(ROWS, NonZero::new(size).unwrap_or(NonZero::<u16>::MIN));
            screen.set(drawn(&parser));
        });
    });
    on_cleanup(move || resized.remove());
    let options = move || names.get().into_iter().map(|n| view! { <option value=n.clone()>{n.clone()}</option> }).collect_view();
    view! {
        <div class="toolbar">
            <label>"Container "<select on:change=move |e| chosen.set(event_target_value(&e))>{options}</select></label>
            <span class="hint" role="status">{move || if open.get() { "Connected. Shift+Tab leaves the terminal, Shift+Page Up shows what was before." } else { "Not connected." }}</span>
            <button type="button" disabled=move || open.get() on:click=move |_| attempt.update(|a| *a += 1)>"Reconnect"</button>
        </div>
        <Problem text=problem />
        <span class="ruler" aria-hidden="true" node_ref=ruler>{RULER}</span>
        <pre class="log terminal" node_ref=view tabindex="0" role="textbox" aria-multiline="true" aria-label="Terminal" on:keydown=on_key on:paste=on_paste on:wheel=on_wheel>
            {move || screen.with(|s| s.lines.iter().map(|l| line(l)).collect_view())}
        </pre>
    }
}

fn emulator(columns: u16) -> Emulator {
    let columns = NonZero::new(columns).unwrap_or(NonZero::<u16>::MIN);
    SendWrapper::new(Rc::new(RefCell::new(vt100::Parser::new(ROWS, columns, PAST_MAX))))
}

fn drawn(parser: &vt100::Parser) -> Screen {
    let screen = parser.screen();
    Screen { lines: lines(screen), application_cursor: screen.application_cursor(), back: screen.scrollback() }
}

fn line(runs: &[Run]) -> impl IntoView + use<> {
    let one = |r: &Run| {
        let run = r.clone();
        view! { <span class=run.class style:color=run.colour style:background-color=run.ground>{run.text}</span> }
    };
    view! { <span class="line">{runs.iter().map(one).collect_view()}"\n"</span> }
}

/// How many letters fit beside each other.
fn columns(view: Option<web_sys::HtmlPreElement>, ruler: Option<web_sys::HtmlSpanElement>) -> u16 {
    let (Some(view), Some(ruler)) = (view, ruler) else { return 80 };
    let letter = ruler.get_bounding_client_rect().width() / RULER.len() as f64;
    let room = f64::from(view.client_width()) - 32.0;
    if letter <= 0.0 { 80 } else { ((room / letter) as u16).clamp(COLUMNS_MIN, COLUMNS_MAX) }
}
