//! Old names: looked up, listed, typed as commands.

use crate::env::TestEnv;

/// One line of the program's own table.
fn scripts() -> Vec<(String, u64)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/domain/behaviour/scripts.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let (name, number) = line.split_once('\t').unwrap();
        (name.to_owned(), number.parse().unwrap())
    };
    text.lines().map(row).collect()
}

#[test]
fn every_old_script_is_answered() {
    let env = TestEnv::bare();
    let scripts = scripts();
    assert_eq!(scripts.len(), 278);
    let names: Vec<&str> = scripts.iter().map(|(name, _)| name.as_str()).collect();
    let data = env.json(&format!("help legacy {}", names.join(" ")));
    let answers = data["names"].as_array().unwrap();
    assert_eq!(answers.len(), 278);
    for (answer, (name, number)) in answers.iter().zip(&scripts) {
        // A word of the old command line may have had a script of the same name.
        assert_eq!(answer["name"].as_str().unwrap(), name);
        assert_eq!(answer["behaviour"], *number, "{name}");
    }
    assert!(data["behaviours"].as_array().unwrap().len() <= 45);
    let all = env.json("help legacy");
    assert_eq!(all["behaviours"].as_array().unwrap().len(), 45);
    let listed = |used: &str| {
        all["names"].as_array().unwrap().iter().filter(|name| name["used"] == used).count()
    };
    assert_eq!(listed("script"), 278);
    assert!(listed("command") > 100);
    assert_eq!(env.coord("help legacy").out().lines().count(), 278 + listed("command"));
    assert!(!env.store().exists());
}

#[test]
fn what_is_said_to_be_here_is_here() {
    let env = TestEnv::bare();
    let all = env.json("help legacy");
    for row in all["behaviours"].as_array().unwrap() {
        let command = row["command"].as_str().unwrap();
        let code = env.coord(&format!("{command} --help")).code();
        assert_eq!(row["here"] == true, code == 0, "coord {command}");
    }
    for name in all["names"].as_array().unwrap() {
        if name["here"] == false {
            let told = env.coord(&format!("help legacy {}", name["name"].as_str().unwrap()));
            assert!(told.out().contains("not in this version yet"), "{told}");
            break;
        }
    }
}

#[test]
fn an_old_name_as_a_command_is_answered_with_the_new_one() {
    let env = TestEnv::bare();
    for (line, now) in [
        ("claim-fast", "`coord work claim`"),
        ("agent_swarm_orchestrator.sh", "`coord swarm run`"),
        ("agent_swarm_orchestrator start", "`coord swarm run`"),
        ("generate-id", "`coord agent register`"),
        ("list-agents --verbose", "`coord agent list`"),
        ("real_agent_worker.sh", "`coord agent run`"),
        ("./scripts/real_agent_worker.sh", "`coord agent run`"),
    ] {
        let out = env.coord(line);
        out.fails(2, "unknown command");
        assert!(out.err().contains(now), "{line}: {out}");
        assert!(!out.err().contains("did you mean"), "{line}: {out}");
    }
    let json = env.coord("claim-fast --json").error();
    assert!(json["hints"][0].as_str().unwrap().contains("`coord work claim`"), "{json}");
    assert!(env.coord("work claim-fast").err().contains("did you mean `claim`?"));
}

#[test]
fn help_on_old_names() {
    let env = TestEnv::bare();
    let out = env.coord("help legacy claim-fast");
    out.done();
    assert!(out.out().starts_with("the old command `claim-fast` is `coord work claim` now"));
    assert!(out.out().contains("behaviour 2 of 45"), "{out}");
    assert_eq!(env.coord("help legacy -q worker_001.sh").out(), "coord agent run\n");
    env.coord("help legacy claim-fsat").fails(1, "no old command or script");
    assert!(env.coord("help legacy claim-fsat").err().contains("did you mean `claim-fast`?"));
    env.coord("help legacy nothing-like-it").fails(1, "`coord help legacy` lists every old name");
    assert!(env.coord("help legcy").err().contains("did you mean `coord help legacy`?"));
}
