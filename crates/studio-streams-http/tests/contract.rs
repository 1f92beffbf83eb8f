//! The contract of stores, over the services that there are.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod support;

mod over_the_studio {
    use crate::support::{Studio, store};

    studio_streams::store_contract!(async {
        let studio = Studio::start().await;
        (store(&studio.url).await, studio)
    });
}

mod over_the_official_server_in_memory {
    use crate::support::{Official, store_of};

    studio_streams::store_contract!(async {
        let (official, name) = Official::shared(false).await;
        (store_of(&official.url, &name).await, official)
    });
}

mod over_the_official_server_on_disk {
    use crate::support::{Official, store_of};

    studio_streams::store_contract!(async {
        let (official, name) = Official::shared(true).await;
        (store_of(&official.url, &name).await, official)
    }; broken {
        a_stream_keeps_its_content_type: "it compares content types with their parameters, which \
            its own store in memory and the published suite do not",
    });
}
