//! The whole page: who is there, where they are, and the component for it.
use crate::components::shell::Shell;
use crate::model::route::Route;
use crate::pages::about::About;
use crate::pages::create::Create;
use crate::pages::kinds::Kinds;
use crate::pages::list::ListPage;
use crate::pages::login::Login;
use crate::pages::object::ObjectPage;
use crate::pages::overview::Overview;
use crate::pages::projects::Projects;
use crate::pages::search::Search;
use crate::pages::settings::Settings;
use crate::pages::topology::Topology;
use crate::state::discovery::Discovered;
use crate::state::finder::Finder;
use crate::state::live::Clock;
use crate::state::nav::Nav;
use crate::state::session::{Session, Who};
use crate::state::told::Told;
use leptos::prelude::*;

#[component]
pub fn App() -> impl IntoView {
    let session = Session::start();
    let nav = Nav::start();
    provide_context(session);
    provide_context(nav);
    provide_context(Clock::start());
    provide_context(Told::start());
    provide_context(Finder::start());
    // Only changes between being somebody and nobody rebuild the page: who logs in again finds it where it was.
    let stage = Memo::new(move |_| session.0.get());
    move || match stage.get() {
        Who::Asking => view! { <p class="splash" role="status">"Connecting…"</p> }.into_any(),
        Who::Nobody { expired } => view! { <Login expired /> }.into_any(),
        Who::User(_) => {
            provide_context(Discovered::start(nav));
            view! { <Shell>{move || page(nav.0.get())}</Shell> }.into_any()
        }
    }
}

fn page(route: Route) -> AnyView {
    match route {
        Route::Projects => view! { <Projects /> }.into_any(),
        Route::Search { words } => view! { <Search words /> }.into_any(),
        Route::Topology { project } => view! { <Topology project /> }.into_any(),
        Route::Settings { project } => view! { <Settings project /> }.into_any(),
        Route::Kinds { project } => view! { <Kinds project /> }.into_any(),
        Route::About => view! { <About /> }.into_any(),
        Route::Overview { project } => view! { <Overview project /> }.into_any(),
        Route::Create { project } => view! { <Create project /> }.into_any(),
        Route::List { project, kind } => view! { <ListPage project kind /> }.into_any(),
        Route::Object { project, kind, name, tab } => view! { <ObjectPage project kind name tab /> }.into_any(),
        Route::Unknown(path) => view! {
            <section class="empty">
                <h1>"There is no such page"</h1>
                <p><code>{path}</code>" leads nowhere in this console."</p>
                <p><a class="button primary" href="/">"All projects"</a></p>
            </section>
        }
        .into_any(),
    }
}
