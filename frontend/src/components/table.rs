//! A table of any number of rows: sorted, filtered, and only the rows in sight are in the page.
use crate::components::status::Status;
use crate::model::rows::{Order, Row, Rows, titles};
use leptos::html;
use leptos::prelude::*;
use shared::kinds::Kind;
use std::sync::Arc;

/// As `--row` of the style sheet.
const ROW_PIXELS: usize = 40;
/// Rows drawn beyond the edge of the window.
const MARGIN_ROWS: usize = 10;
/// Below this all rows are drawn: tables grow with their content.
const ALL_ROWS_MAX: usize = 150;
/// Rows in the window of a long table.
const WINDOW_ROWS: usize = 40;

#[component]
pub fn Table(
    kind: &'static Kind,
    rows: Memo<Rows>,
    order: RwSignal<Order>,
    /// Where a row's name leads.
    href: Callback<String, String>,
) -> impl IntoView {
    let top = RwSignal::new(0_usize);
    let node: NodeRef<html::Div> = NodeRef::new();
    let on_scroll = move |_| {
        if let Some(window) = node.get_untracked() {
            let first = usize::try_from(window.scroll_top()).unwrap_or(0) / ROW_PIXELS;
            // In steps, so that most scrolling changes nothing here.
            let step = first / MARGIN_ROWS * MARGIN_ROWS;
            if top.get_untracked() != step {
                top.set(step);
            }
        }
    };
    let count = Memo::new(move |_| rows.with(|r| r.0.len()));
    let span = Memo::new(move |_| {
        let count = count.get();
        if count <= ALL_ROWS_MAX {
            return (0, count);
        }
        let first = top.get().saturating_sub(MARGIN_ROWS).min(count);
        (first, (first + WINDOW_ROWS + 2 * MARGIN_ROWS).min(count))
    });
    let shown = Memo::new(move |_| {
        let (from, to) = span.get();
        rows.with(|r| Rows(Arc::new(r.0[from.min(r.0.len())..to.min(r.0.len())].to_vec())))
    });
    let names = Memo::new(move |_| shown.with(|rows| rows.0.iter().map(|r| r.name.clone()).collect::<Vec<_>>()));
    let space = |rows: usize| format!("{}px", rows * ROW_PIXELS);
    let headings = titles(kind);
    let width = headings.len();
    view! {
        <div class="table-window" class:long={move || count.get() > ALL_ROWS_MAX} node_ref=node on:scroll=on_scroll tabindex="0" role="region" aria-label="Table">
            <table aria-rowcount=move || (count.get() + 1).to_string()>
                <thead>
                    <tr>{headings.iter().enumerate().map(|(i, title)| heading(i, title, order)).collect_view()}</tr>
                </thead>
                <tbody>
                    <tr class="space" aria-hidden="true" hidden=move || span.get().0 == 0><td colspan=width.to_string() style:height=move || space(span.get().0)></td></tr>
                    <For each=move || names.get() key=|name| name.clone() let:name>{line(name, shown, &headings, href)}</For>
                    <tr class="space" aria-hidden="true" hidden={move || span.get().1 >= count.get()}>
                        <td colspan=width.to_string() style:height=move || space(count.get().saturating_sub(span.get().1))></td>
                    </tr>
                </tbody>
            </table>
        </div>
    }
}

fn heading(column: usize, title: &'static str, order: RwSignal<Order>) -> impl IntoView {
    let sort = move || match order.get() {
        o if o.column != column => "none",
        o if o.reversed => "descending",
        _ => "ascending",
    };
    let sign = move || match sort() {
        "ascending" => "↑",
        "descending" => "↓",
        _ => "",
    };
    view! {
        <th scope="col" aria-sort=sort>
            <button type="button" class="sort" on:click=move |_| order.update(|o| *o = o.clicked(column))>
                {title}<span aria-hidden="true">{sign}</span>
            </button>
        </th>
    }
}

/// A row stays the same element while its cells change: who stands on it with the keyboard stays there.
fn line(name: String, shown: Memo<Rows>, headings: &[&'static str], href: Callback<String, String>) -> impl IntoView + use<> {
    let link = href.run(name.clone());
    let row = Memo::new(move |_| shown.with(|rows| rows.0.iter().find(|r| r.name == name).map(|r| Row::clone(r))));
    let cells = headings.to_vec().into_iter().enumerate().map(|(i, title)| {
        let cell = Memo::new(move |_| row.with(|r| r.as_ref().and_then(|r| r.cells.get(i).cloned())));
        let text = move || cell.with(|c| c.as_ref().map(|c| c.text.clone()).unwrap_or_default());
        if title == "Name" {
            return view! { <th scope="row"><a href=link.clone() title=text>{text}</a></th> }.into_any();
        }
        let content = move || match cell.with(|c| c.as_ref().and_then(|c| c.tone)) {
            Some(tone) => view! { <Status text=text() tone /> }.into_any(),
            None => text().into_any(),
        };
        view! { <td title=text>{content}</td> }.into_any()
    });
    view! { <tr>{cells.collect_view()}</tr> }
}
