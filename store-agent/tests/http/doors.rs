//! Who is let in: tokens, hosts, paths and methods.

use crate::client::Request;
use crate::shop::{ANY, SALE, Shop, TILL_3, TILL_4, furnish, until, write_tokens};
use store_agent::config::Config;
use store_agent::runtime::supervisor::Running;

fn with_host(shop: &Shop, host: &str) -> u16 {
    let headers = vec![("host", host.to_owned())];
    Request { method: "GET", path: "/healthz", token: None, headers, body: Vec::new() }
        .send(shop.address())
        .status
}

#[test]
fn without_a_known_token_nothing_is_said() {
    let shop = Shop::open();
    let paths = [
        ("POST", "/v1/movements"),
        ("POST", "/v1/movements:batch"),
        ("PUT", "/v1/items"),
        ("GET", "/v1/items/4011"),
        ("GET", "/v1/stock"),
        ("GET", "/v1/movements"),
        ("GET", "/v1/cursors/till-3"),
        ("GET", "/v1/sync"),
        ("GET", "/nowhere"),
    ];
    for (method, path) in paths {
        for token in [None, Some("token-of-nobody-0000"), Some("")] {
            let reply = shop.ask(method, path, token, SALE.as_bytes());
            assert_eq!(
                (reply.status, reply.header("www-authenticate")),
                (401, Some("Bearer")),
                "{method} {path}"
            );
            reply.problem_field();
        }
    }
}

#[test]
fn health_and_metrics_need_no_token_on_this_machine() {
    let shop = Shop::open();
    for path in ["/healthz", "/metrics"] {
        assert_eq!(shop.ask("GET", path, None, b"").status, 200, "{path}");
    }
}

#[test]
fn a_token_for_another_till_is_refused() {
    let shop = Shop::open();
    let reply = shop.ask("POST", "/v1/movements", Some(TILL_4), SALE.as_bytes());
    assert_eq!((reply.status, reply.problem_field().as_str()), (403, "source"));
    assert!(reply.body.contains("till-4") && reply.body.contains("till-3"), "{}", reply.body);
    assert_eq!(shop.get("/v1/movements").json()["movements"], serde_json::json!([]));
}

#[test]
fn a_till_may_not_change_items() {
    let shop = Shop::open();
    let reply = shop.ask("PUT", "/v1/items", Some(TILL_3), br#"{"sku":"a","name":"A"}"#);
    assert_eq!(reply.status, 403);
}

#[test]
fn a_name_pointed_at_this_machine_from_elsewhere_is_refused() {
    let shop = Shop::open_with("hosts = [\"Store-Server.local\"]", Default::default());
    for host in ["localhost", "localhost:7070", "127.0.0.1", "[::1]:7070", "store-server.local:80"] {
        assert_eq!(with_host(&shop, host), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:7070", "127.0.0.1.evil.example"] {
        assert_eq!(with_host(&shop, host), 421, "{host}");
    }
}

#[test]
fn a_changed_token_file_is_taken_up_while_running() {
    let shop = Shop::open();
    assert_eq!(shop.ask("GET", "/v1/sync", Some("token-of-the-new-till"), b"").status, 401);
    write_tokens(shop.folder.path(), "till-9 token-of-the-new-till\n");
    until("the new token is known", || {
        shop.ask("GET", "/v1/sync", Some("token-of-the-new-till"), b"").status == 200
    });
    assert_eq!(shop.ask("GET", "/v1/sync", Some(ANY), b"").status, 401, "the old one is gone");
}

#[test]
fn wrong_paths_and_methods_get_problems() {
    let shop = Shop::open();
    let nowhere = shop.get("/v1/nowhere");
    assert_eq!(nowhere.status, 404);
    nowhere.problem_field();
    let method = shop.ask("DELETE", "/v1/movements", Some(ANY), b"");
    assert_eq!(method.status, 405);
    assert!(
        method.header("allow").is_some_and(|allow| allow.contains("POST") && allow.contains("GET")),
        "{method:?}"
    );
}

#[test]
fn an_agent_does_not_start_on_tokens_that_everyone_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), "");
    let tokens = folder.path().join("tokens");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = Config::load(&folder.path().join("agent.toml")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Running::start(config)).unwrap_err();
    assert!(format!("{error:#}").contains("chmod 600"), "{error:#}");
}

#[test]
fn two_agents_do_not_share_a_data_folder() {
    let shop = Shop::open();
    let config = Config::load(&shop.folder.path().join("agent.toml")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Running::start(config)).unwrap_err();
    assert!(format!("{error:#}").contains("another store-agent is running"), "{error:#}");
}
