//! `tillwatch check`: everything that is wrong, before a deploy.

use crate::harness::Installation;

fn check(installation: &Installation) -> (Option<i32>, String) {
    let output =
        installation.command(&["check"]).env("TILLWATCH_ADMIN__LISTEN", "127.0.0.1:0").output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn check_tells_every_problem_at_once() {
    let installation = Installation::new("[processor]\nlinger_ms = 50\nretry_delay_ms = 0\n");
    assert_eq!(std::fs::remove_file(installation.path("secrets/shop")).ok(), Some(()));
    installation.rule("broken.toml", "type = \"no-such-type\"\n");
    let (code, text) = check(&installation);
    assert_eq!(code, Some(1));
    for part in [
        "processor.retry_delay_ms: 0 is too small",
        "sources.shop.secrets: cannot read",
        "broken.toml:1",
        "3 problem(s)",
    ] {
        assert!(text.contains(part), "without {part}: {text}");
    }
}

#[test]
fn check_finds_that_rules_page_nobody() {
    let installation = Installation::new("");
    let file = installation.path("tillwatch.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let without = text.replace("[[channels]]\nname = \"payments-oncall\"\nkind = \"log\"\n", "");
    assert_ne!(text, without);
    std::fs::write(&file, without).unwrap();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/volume.toml");
    installation.rule("volume.toml", &std::fs::read_to_string(shipped).unwrap());
    let (code, text) = check(&installation);
    assert_eq!(code, Some(1));
    assert!(text.contains("1 rules and no [[channels]]: nobody would be paged"), "{text}");
}

#[test]
fn a_reader_that_has_gone_is_no_error_to_tell() {
    let installation = Installation::new("");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = installation.command(&["check"]);
    let output = command.env("TILLWATCH_ADMIN__LISTEN", "127.0.0.1:0").stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(141), String::new()));
}

#[test]
fn what_is_wrong_with_the_certificates_for_the_broker_is_found_before_a_deploy_and_at_the_start() {
    let queue = "[queue]\nkind = \"rabbitmq\"\nurl = { env = \"AMQP_URL\" }\nca_file = \"ca.pem\"\n";
    let installation = Installation::new(queue);
    let run = |command: &str, url: &str| {
        let mut command = installation.command(&[command]);
        command.env("TILLWATCH_ADMIN__LISTEN", "127.0.0.1:0").env("AMQP_URL", url);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let url = "amqps://tillwatch:s3cret@127.0.0.1:1/%2f";
    let text = run("check", url);
    assert!(text.contains("queue.ca_file: cannot read") && text.contains("ca.pem"), "{text}");
    let file = installation.path("ca.pem");
    std::fs::write(&file, "garbage").unwrap();
    for command in ["check", "ingest", "process"] {
        let text = run(command, url);
        assert!(
            text.contains("ca_file: there is no certificate in it; it must hold PEM"),
            "{command}: {text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
    }
    std::fs::write(&file, testing::certificates::Authority::new("ours").pem()).unwrap();
    let text = run("check", &url.replace("amqps", "amqp"));
    assert!(text.contains("queue.url: no address begins with amqps://"), "{text}");
}
