//! A modal dialog: the browser's own, which keeps the focus inside and closes with Escape.
use leptos::html;
use leptos::prelude::*;

/// Shows its content while `open` holds.
#[component]
pub fn Dialog(
    open: RwSignal<bool>,
    #[prop(into)] title: String,
    #[prop(optional)] class: &'static str,
    children: ChildrenFn,
) -> impl IntoView {
    let node: NodeRef<html::Dialog> = NodeRef::new();
    let children = StoredValue::new(children);
    let label = title.clone();
    Effect::new(move || {
        let Some(dialog) = node.get() else { return };
        if open.get() && !dialog.open() {
            let _ = dialog.show_modal();
        } else if !open.get() && dialog.open() {
            dialog.close();
        }
    });
    view! {
        <dialog node_ref=node class=class aria-label=label on:close=move |_| open.set(false)>
            <Show when=move || open.get()>
                <h2>{title.clone()}</h2>
                {children.with_value(|c| c())}
            </Show>
        </dialog>
    }
}
