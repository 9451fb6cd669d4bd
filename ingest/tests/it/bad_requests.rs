//! Forty ways to break a request, each with the clear answer it gets; and after all of them, ingest still works.

use crate::harness::{
    CHECKOUT_SECRET, DEADLINE, NOW, STRIPE_SECRET, TestIngest, read_reply, request, stripe_signature,
};
use payments::signature::HmacKey;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;
const PATH: &str = "/webhooks/stripe-us";

/// What is sent, the status it gets (0: the connection is closed without an answer), and the answer's code (empty:
/// hyper itself refuses it, without a body).
struct Case {
    what: &'static str,
    request: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(what: &'static str, request: Vec<u8>, status: u16, code: &'static str) -> Case {
    Case { what, request, status, code }
}

fn stripe(what: &'static str, signature: &str, code: &'static str) -> Case {
    case(what, request("POST", PATH, &[("stripe-signature", signature)], BODY), 401, code)
}

fn to(what: &'static str, path: &str, headers: &[(&str, &str)], body: &[u8], code: &'static str) -> Case {
    case(what, request("POST", path, headers, body), 401, code)
}

fn signature_cases() -> Vec<Case> {
    let now = NOW.seconds();
    let good = stripe_signature(STRIPE_SECRET, now, BODY);
    let hex = good.split_once("v1=").unwrap().1.to_owned();
    let checkout = HmacKey::new(CHECKOUT_SECRET.as_bytes()).sign(&[BODY]);
    let checkout = payments::signature::encode_hex(&checkout);
    let adyen_item =
        br#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"a"}}]}"#;
    let adyen_signed =
        br#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"a",
        "additionalData":{"hmacSignature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}}]}"#;
    let seconds = now.to_string();
    let shop = |id: &'static str, at: &str, signature: &str| {
        request(
            "POST",
            "/webhooks/shop",
            &[("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)],
            b"{}",
        )
    };
    let zeros = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    vec![
        case("no signature at all", request("POST", PATH, &[], BODY), 401, "missing_signature"),
        stripe("an empty signature", "", "malformed_signature"),
        stripe("a signature that is no list", "garbage", "malformed_signature"),
        stripe("a list without a timestamp", &format!("v1={hex}"), "malformed_timestamp"),
        stripe("a timestamp that is no number", &format!("t=soon,v1={hex}"), "wrong_signature"),
        stripe("a list without v1", &format!("t={now},v0={hex}"), "malformed_signature"),
        stripe("a v1 that is not hexadecimal", &format!("t={now},v1=zz"), "malformed_signature"),
        stripe("a v1 that is too short", &format!("t={now},v1={}", &hex[..62]), "malformed_signature"),
        stripe("another secret's signature", &stripe_signature("whsec_other", now, BODY), "wrong_signature"),
        stripe("another body's signature", &stripe_signature(STRIPE_SECRET, now, b"{}"), "wrong_signature"),
        stripe(
            "another time's signature",
            &good.replace(&seconds, &(now - 1).to_string()),
            "wrong_signature",
        ),
        stripe("six minutes old", &stripe_signature(STRIPE_SECRET, now - 360, BODY), "stale_timestamp"),
        stripe("six minutes ahead", &stripe_signature(STRIPE_SECRET, now + 360, BODY), "future_timestamp"),
        stripe("a timestamp beyond all numbers", "t=99999999999999999999,v1=00", "malformed_signature"),
        to("Adyen: not JSON", "/webhooks/adyen-eu", &[], b"nonsense", "malformed_body"),
        to("Adyen: no items", "/webhooks/adyen-eu", &[], br#"{"notificationItems":[]}"#, "malformed_body"),
        to("Adyen: an item without signature", "/webhooks/adyen-eu", &[], adyen_item, "missing_signature"),
        to(
            "Adyen: an item with a wrong signature",
            "/webhooks/adyen-eu",
            &[],
            adyen_signed,
            "wrong_signature",
        ),
        to(
            "Adyen: a wrong header",
            "/webhooks/adyen-eu",
            &[("hmacsignature", "AA==")],
            BODY,
            "malformed_signature",
        ),
        to("Checkout: no signature", "/webhooks/checkout-uk", &[], BODY, "missing_signature"),
        to(
            "Checkout: a digit is missing",
            "/webhooks/checkout-uk",
            &[("cko-signature", &checkout[1..])],
            BODY,
            "malformed_signature",
        ),
        to(
            "Checkout: another body",
            "/webhooks/checkout-uk",
            &[("cko-signature", &checkout)],
            b"{}",
            "wrong_signature",
        ),
        to("canonical: no headers", "/webhooks/shop", &[], b"{}", "missing_signature"),
        case("canonical: no id", shop("", &seconds, zeros), 401, "missing_id"),
        case("canonical: a time that is no number", shop("m", "soon", zeros), 401, "wrong_signature"),
        case("canonical: a wrong signature", shop("m", &seconds, zeros), 401, "wrong_signature"),
        case(
            "canonical: an unknown version only",
            shop("m", &seconds, "v9,AAAA"),
            401,
            "malformed_signature",
        ),
    ]
}

fn http_cases() -> Vec<Case> {
    let header = |name: &str, value: String| request("POST", PATH, &[(name, &value)], BODY);
    let many: Vec<(String, String)> = (0..150).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: test\r\n");
    let raw = |rest: &str| format!("{head}{rest}").into_bytes();
    vec![
        case(
            "a source that is not configured",
            request("POST", "/webhooks/nobody", &[], BODY),
            404,
            "unknown_source",
        ),
        case("a path that is nothing", request("POST", "/", &[], BODY), 404, "unknown_source"),
        case(
            "a path below a source",
            request("POST", "/webhooks/stripe-us/x", &[], BODY),
            404,
            "unknown_source",
        ),
        case(
            "a source name with a slash in it",
            request("POST", "/webhooks/..%2f..", &[], BODY),
            404,
            "unknown_source",
        ),
        case(
            "a source name that is not UTF-8",
            request("POST", "/webhooks/%ff", &[], BODY),
            404,
            "unknown_source",
        ),
        case("GET", request("GET", PATH, &[], b""), 405, "method_not_allowed"),
        case("PUT", request("PUT", PATH, &[], BODY), 405, "method_not_allowed"),
        case(
            "a body over the limit, announced",
            request("POST", PATH, &[], &[b'x'; 70_000]),
            413,
            "body_too_large",
        ),
        case("a body over the limit, in chunks", raw(&chunked(70_000)), 413, "body_too_large"),
        case("a head over the limit", header("x-large", "x".repeat(60_000)), 431, ""),
        case("too many headers", request("POST", PATH, &many, BODY), 431, ""),
        case("a body that stops half-way", raw("content-length: 100\r\n\r\nhalf"), 408, "body_too_slow"),
        case(
            "chunks that are no chunks",
            raw("transfer-encoding: chunked\r\n\r\nzz\r\n"),
            400,
            "body_broken",
        ),
        case("a length that is no number", raw("content-length: many\r\n\r\n"), 400, ""),
        case("two lengths that differ", raw("content-length: 1\r\ncontent-length: 2\r\n\r\nxx"), 400, ""),
        case("a head that is not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec(), 400, ""),
        case("a header that never ends", b"POST / HTTP/1.1\r\nhost: te".to_vec(), 0, ""),
    ]
}

fn chunked(bytes: usize) -> String {
    format!("transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes))
}

#[tokio::test]
async fn forty_broken_requests_get_their_clear_answers_and_are_not_stored() {
    let mut ingest = TestIngest::start().await;
    let cases: Vec<Case> = signature_cases().into_iter().chain(http_cases()).collect();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let reply = ingest.send(&case.request).await;
        if reply.status != case.status || !reply.answers(case.code) {
            wrong.push(format!("{}: expected {} {:?}, got {reply:?}", case.what, case.status, case.code));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Still works, and stored nothing but the genuine one.
    let signature = stripe_signature(STRIPE_SECRET, NOW.seconds(), BODY);
    assert_eq!(ingest.post(PATH, &[("stripe-signature", &signature)], BODY).await.status, 200);
    assert_eq!(ingest.received(1).await, vec![BODY.to_vec()]);
    ingest.lifecycle.shut_down();
    ingest.lifecycle.run(std::time::Duration::ZERO, DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_connection_outlives_a_refused_request() {
    let ingest = TestIngest::start().await;
    let mut stream = TcpStream::connect(ingest.address).await.unwrap();
    stream.write_all(&request("POST", PATH, &[], BODY)).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 401);
    let signature = stripe_signature(STRIPE_SECRET, NOW.seconds(), BODY);
    stream.write_all(&request("POST", PATH, &[("stripe-signature", &signature)], BODY)).await.unwrap();
    assert_eq!(read_reply(&mut stream).await.status, 200);
}
